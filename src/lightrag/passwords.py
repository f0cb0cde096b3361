"""Stored passwords: which forms there are, how one is checked, how a hash is made.

A stored password is plain text, a bcrypt hash (`{bcrypt}$2b$…` or bare) or an Argon2 hash (`{argon2}$argon2id$…` or
bare, in the PHC string format).
"""

from __future__ import annotations

import re
import secrets
from typing import Literal

Scheme = Literal["argon2", "bcrypt"]

BCRYPT_BYTES = 72
"""bcrypt takes no notice of what comes after them."""
MAX_STORED = 512
"""Characters of a stored hash; real ones have about 100."""

_BCRYPT = re.compile(r"\$2[abxy]?\$(\d\d)\$[./A-Za-z0-9]{53}")
_ARGON2 = re.compile(r"\$argon2(id|i|d)\$v=\d+\$m=(\d+),t=(\d+),p=(\d+)\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_PREFIXES = {"{bcrypt}": _BCRYPT, "{argon2}": _ARGON2}
_MAX_BCRYPT_ROUNDS = 16
_MAX_ARGON2_KIB = 2 * 1024 * 1024
_MAX_ARGON2_PASSES = 64
_MAX_ARGON2_LANES = 64


def check_stored(stored: str) -> None:
    """Raise `ValueError` where something says that it is a hash and is none that can be checked in bearable time."""
    marked = next((pattern for prefix, pattern in _PREFIXES.items() if stored.startswith(prefix)), None)
    body = _body(stored)
    if body.startswith(("$argon2", "$2a$", "$2b$", "$2x$", "$2y$")):
        marked = marked or (_ARGON2 if body.startswith("$argon2") else _BCRYPT)
    if marked is None:
        return
    match = marked.fullmatch(body)
    if match is None or len(body) > MAX_STORED:
        raise ValueError(
            "the password looks like a hash but is not a complete one; make it with lightrag hash-password"
        )
    if marked is _BCRYPT:
        too_dear = not 4 <= int(match[1]) <= _MAX_BCRYPT_ROUNDS
    else:
        memory, passes, lanes = (int(match[n]) for n in (2, 3, 4))
        too_dear = memory > _MAX_ARGON2_KIB or passes > _MAX_ARGON2_PASSES or not 1 <= lanes <= _MAX_ARGON2_LANES
    if too_dear:
        raise ValueError("the password's hash costs too much to be checked; make one with lightrag hash-password")


def cost_of(stored: str) -> str:
    """Return what a check costs, in words that are equal for hashes whose checks take equally long."""
    body = _body(stored)
    if match := _ARGON2.fullmatch(body):
        return f"argon2{match[1]} m={match[2]} t={match[3]} p={match[4]}"
    if match := _BCRYPT.fullmatch(body):
        return f"bcrypt {match[1]}"
    return "plain"


def is_right(stored: str, password: str) -> bool:
    """Return whether a password is the stored one. May take a tenth of a second and 64 MiB: call it in a thread."""
    body = _body(stored)
    raw = password.encode("utf-8", "surrogatepass")
    if _ARGON2.fullmatch(body):
        return _fits_argon2(body, raw)
    if _BCRYPT.fullmatch(body):
        import bcrypt

        try:
            return bcrypt.checkpw(raw[:BCRYPT_BYTES], body.encode())
        except ValueError:
            return False
    return secrets.compare_digest(raw, stored.encode("utf-8", "surrogatepass"))


def make_hash(password: str, scheme: Scheme = "argon2") -> str:
    """Return a hash to store. Raises `ValueError` for a password that cannot be hashed."""
    if not password:
        raise ValueError("The password is empty")
    if scheme == "argon2":
        from argon2 import PasswordHasher

        return PasswordHasher().hash(password)
    import bcrypt

    raw = password.encode()
    if len(raw) > BCRYPT_BYTES:
        raise ValueError(f"bcrypt takes at most {BCRYPT_BYTES} bytes; use argon2, or a shorter password")
    if b"\0" in raw:
        raise ValueError("A password for bcrypt cannot hold a NUL character")
    return "{bcrypt}" + bcrypt.hashpw(raw, bcrypt.gensalt()).decode()


def _fits_argon2(stored: str, password: bytes) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _body(stored: str) -> str:
    for prefix in _PREFIXES:
        if stored.startswith(prefix):
            return stored[len(prefix) :]
    return stored
