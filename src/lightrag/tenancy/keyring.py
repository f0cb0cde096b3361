"""The key-encryption keys: where they come from, and which of them is in use.

A key is 32 random bytes in base64. It comes from `LIGHTRAG_KEK`, from the file named by `LIGHTRAG_KEK_FILE`, or from
what the command `LIGHTRAG_KEK_COMMAND` prints; several, separated by commas or new lines, are tried for reading, and
the first one is used for writing. Where none is configured, one is made beside the control plane's database, readable
by its owner only: this guards copies of the database, not the machine.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import hashlib
import logging
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lightrag.errors import ConfigurationError

try:
    import fcntl
except ModuleNotFoundError:  # pragma: no cover - not a POSIX system
    fcntl = None  # type: ignore[assignment]

KEY_BYTES = 32
NONCE_BYTES = 12
FILE_NAME = "control.key"
COMMAND_SECONDS = 30
LOOK_AGAIN = 3.0
"""Seconds after which a key that was not found is looked for again."""
_PAUSES = (0.0, 0.05, 0.2)
"""Seconds before each of several looks at once: a file may be in the middle of being written."""
_MOST_REMEMBERED = 1000

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class KeySource:
    """Where the key-encryption keys are to be found; the first that is set counts."""

    text: str | None = dataclasses.field(default=None, repr=False)
    file: Path | None = None
    command: str | None = None


class KeyRing:
    """Wraps and unwraps data keys."""

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        self._keys = dict(keys)
        self.current = current
        """Id of the key that wraps."""

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all keys at hand."""
        return frozenset(self._keys)

    def wrap(self, data_key: bytes, context: bytes, key_id: str | None = None) -> bytes:
        """Return `data_key` encrypted by the current key, or by the one that is named, and bound to `context`."""
        return seal(self._keys[key_id or self.current], data_key, context)

    def with_older(self, older: KeyRing) -> KeyRing:
        """Return these keys and those of another ring, which are not used for writing."""
        return KeyRing(older._keys | self._keys, self.current)

    def unwrap(self, wrapped: bytes, key_id: str, context: bytes) -> bytes | None:
        """Return a data key; None where its key is not at hand or it does not belong to `context`."""
        key = self._keys.get(key_id)
        return None if key is None else unseal(key, wrapped, context)


class KeyRings:
    """The keys of a running process, read again where one is asked for that is not among them.

    Args:
        present: The keys at its start.
        read: Reads them again; blocking. None where they cannot change.
    """

    def __init__(self, present: KeyRing, read: Callable[[], KeyRing] | None = None) -> None:
        self.present = present
        self._read = read
        self._looked: dict[str, float] = {}
        """When a key was looked for in vain."""
        self._looking = asyncio.Lock()

    async def knowing(self, key_id: str) -> KeyRing:
        """Return the keys, read again where `key_id` is not among them; it may still be absent then."""
        if key_id in self.present.ids or self._read is None:
            return self.present
        async with self._looking:
            for pause in _PAUSES if time.monotonic() - self._looked.get(key_id, -LOOK_AGAIN) >= LOOK_AGAIN else ():
                await asyncio.sleep(pause)
                if key_id in self.present.ids or await self._look(key_id, self._read):
                    return self.present
                if len(self._looked) > _MOST_REMEMBERED:
                    self._looked.clear()
                self._looked[key_id] = time.monotonic()
        return self.present

    async def _look(self, key_id: str, read: Callable[[], KeyRing]) -> bool:
        try:
            found = await asyncio.to_thread(read)
        except ConfigurationError as error:
            _log.warning("the key-encryption keys cannot be read again, those at hand stay in use: %s", error)
            return False
        # A key that was removed too early may still be needed.
        self.present = found.with_older(self.present)
        return key_id in found.ids


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """Return nonce and AES-256-GCM ciphertext (NIST SP 800-38D), authentic only together with `context`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """Return what `seal` encrypted; None where key, context or bytes are not the same."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        return None


def new_key_text() -> str:
    """Return a fresh key as users write it down."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def load_keyring(source: KeySource, directory: Path) -> KeyRing:
    """Return the keys that the settings name, else the one kept in `directory`, made there where there is none.

    Blocking. Raises `ConfigurationError` without ever repeating what it read.
    """
    if source.text:
        return parse_keys(source.text, "LIGHTRAG_KEK")
    if source.file is not None:
        return parse_keys(_read(source.file), f"LIGHTRAG_KEK_FILE ({source.file})")
    if source.command:
        return parse_keys(_run(source.command), "LIGHTRAG_KEK_COMMAND")
    return parse_keys(_kept(directory), str(directory / FILE_NAME))


def parse_keys(text: str, origin: str) -> KeyRing:
    """Return the keys in a text; `origin` names it in errors."""
    keys: dict[str, bytes] = {}
    for number, word in enumerate(re.split(r"[\s,]+", text.strip()), start=1):
        try:
            key = base64.b64decode(word, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigurationError(
                f"Key {number} in {origin} is not {KEY_BYTES} bytes in base64; make one with: lightrag keys new"
            )
        if len(set(key)) < KEY_BYTES // 4:
            raise ConfigurationError(f"Key {number} in {origin} is not random; make one with: lightrag keys new")
        keys[hashlib.sha256(b"lightrag key id" + key).hexdigest()[:16]] = key
    return KeyRing(keys, next(iter(keys)))


def add_key(source: KeySource, directory: Path) -> Path:
    """Put a fresh key before those of the file that keeps them, and return the file. Blocking.

    Raises `ConfigurationError` where they are kept elsewhere.
    """
    if source.text or (source.file is None and source.command):
        raise ConfigurationError(
            "The keys are not kept in a file: put a new one (lightrag keys new) before the present one where "
            f"{'LIGHTRAG_KEK' if source.text else 'LIGHTRAG_KEK_COMMAND'} takes them from"
        )
    load_keyring(source, directory)
    path = (source.file or directory / FILE_NAME).resolve()
    with _alone_in(path.parent):
        draft = _draft(path, f"{new_key_text()}\n{_read(path).strip()}\n", path)
        try:
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ConfigurationError(f"The file of keys ({path}) cannot be written: {error.strerror}") from None
    return path


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep others from adding a key at the same time: one of the two would be lost, with all that it wraps by then."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"LIGHTRAG_KEK_FILE ({path}) cannot be read: {error.strerror}") from None


def _run(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            shlex.split(command), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"LIGHTRAG_KEK_COMMAND cannot be run: {type(error).__name__}") from None
    if done.returncode != 0:
        raise ConfigurationError(f"LIGHTRAG_KEK_COMMAND ended with status {done.returncode}")
    return done.stdout


def _kept(directory: Path) -> str:
    path = directory / FILE_NAME
    directory.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    return _read(path)


def _draft(path: Path, text: str, like: Path | None = None) -> Path:
    """Write a text beside a file, for its owner only or with the rights of another file, and return where."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            if like is not None:
                shutil.copymode(like, draft)
            os.fsync(file.fileno())
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(f"The file of keys ({path}) cannot be written: {error.strerror}") from None
    return draft


def _make(path: Path) -> None:
    """Write a fresh key, whole or not at all; of several processes that try at once, one wins."""
    draft = _draft(path, new_key_text() + "\n")
    try:
        try:
            os.link(draft, path)
            _log.warning(
                "a key for the providers' secrets was made in %s; keep a copy of it elsewhere, and see LIGHTRAG_KEK",
                path,
            )
        except FileExistsError:
            pass
    finally:
        draft.unlink()
