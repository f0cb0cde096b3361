"""The key-encryption keys: where they come from, and which of them is in use.

A key is 32 random bytes in base64. It comes from `LIGHTRAG_KEK`, from the file named by `LIGHTRAG_KEK_FILE`, or from
what the command `LIGHTRAG_KEK_COMMAND` prints; several, separated by commas or new lines, are tried for reading, and
the first one is used for writing. Where none is configured, one is made beside the control plane's database, readable
by its owner only: this guards copies of the database, not the machine.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import logging
import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lightrag.errors import ConfigurationError

KEY_BYTES = 32
NONCE_BYTES = 12
FILE_NAME = "control.key"
COMMAND_SECONDS = 30

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

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Return `data_key` encrypted by the current key and bound to `context`."""
        return seal(self._keys[self.current], data_key, context)

    def unwrap(self, wrapped: bytes, key_id: str, context: bytes) -> bytes | None:
        """Return a data key; None where its key is not at hand or it does not belong to `context`."""
        key = self._keys.get(key_id)
        return None if key is None else unseal(key, wrapped, context)


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


def _make(path: Path) -> None:
    """Write a fresh key, whole or not at all; of several processes that try at once, one wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key_text() + "\n")
            file.flush()
            os.fsync(file.fileno())
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
