"""Tokens of those who have logged in, and of guests: JSON Web Tokens (RFC 7519) with LightRAG's claims."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import jwt
import structlog
from jwt.types import Options

from lightrag.api.auth_principal import Refusal
from lightrag.settings import AuthSettings

log = structlog.get_logger(__name__)

TokenRole = Literal["user", "guest"]

GUEST = "guest"
EXPIRED = Refusal(HTTPStatus.UNAUTHORIZED, "Token expired")
INVALID = Refusal(HTTPStatus.UNAUTHORIZED, "Invalid token")
WRONG_KIND = Refusal(HTTPStatus.UNAUTHORIZED, "Invalid token. Please login again.")

SECRET_FILE = ".token_secret"  # noqa: S105 - the name of a file
_SECRET_BYTES = 32
_MAX_TOKEN = 4096
"""Characters of a token; ours have some 200."""
_CHECKS: Options = {"require": ["exp", "sub"], "verify_exp": False}
"""The expiry is looked at with every use, and not only when the signature is verified."""
_MAX_VERIFIED = 4096
"""Tokens that are remembered as verified."""
_LONG_KEY = 64
"""Bytes of a key that suffice for every algorithm, and no more than the block of any of their hashes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claims:
    """What a token says, once its signature is verified."""

    subject: str
    role: TokenRole
    expires_at: float
    """Seconds since the epoch."""
    generation: int = 0


class TokenSigner:
    """Makes and reads tokens; one secret, one algorithm."""

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        secret = settings.token_secret.get_secret_value().encode() if settings.token_secret else b""
        self._is_configured = bool(secret)
        self._key = _padded(secret or secrets.token_bytes(_SECRET_BYTES))
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def share_secret(self, working_dir: Path) -> None:
        """Take the secret that all processes on a working folder sign with, where none is configured.

        It is made once and kept in a file that only its owner can read. A process that cannot read or write there goes
        on with a secret of its own. Blocks for two small file accesses.
        """
        if not self._is_configured:
            try:
                self._key = _padded(_kept_secret(working_dir / SECRET_FILE))
                self._verified.clear()
            except OSError as error:
                log.warning("tokens are good in this process only: set TOKEN_SECRET", reason=str(error))

    def make(self, subject: str, role: TokenRole, generation: int = 0) -> str:
        """Return a token that is good from this moment on."""
        metadata: dict[str, Any] = {"auth_mode": "enabled" if role == "user" else "disabled"}
        if generation:
            metadata["generation"] = generation
        claims = {
            "sub": subject,
            "exp": int(self._clock() + self.lifetime(role)),
            "role": role,
            "metadata": metadata,
        }
        return jwt.encode(claims, self._key, algorithm=self._settings.algorithm)

    def read(self, token: str) -> Claims | Refusal:
        """Return what a token says, or why it is refused.

        A signature is verified once: a client shows the same token with every request.
        """
        claims = self._verified.get(token) or self._verify(token)
        if isinstance(claims, Refusal):
            return claims
        if claims.expires_at <= self._clock():
            self._verified.pop(token, None)
            return EXPIRED
        self._verified[token] = claims
        if len(self._verified) > _MAX_VERIFIED:
            self._verified.popitem(last=False)
        return claims

    def _verify(self, token: str) -> Claims | Refusal:
        if len(token) > _MAX_TOKEN:
            return INVALID
        try:
            claims = jwt.decode(token, self._key, algorithms=[self._settings.algorithm], options=_CHECKS)
            return _claims(claims)
        except Exception:
            # Whatever cannot be read proves nothing, in whichever way it breaks the parser.
            return INVALID

    def lifetime(self, role: TokenRole) -> float:
        """Return the seconds that a token is good for."""
        return 3600 * (self._settings.token_hours if role == "user" else self._settings.guest_token_hours)


def _claims(claims: dict[str, Any]) -> Claims | Refusal:
    # Tokens of LightRAG 1.2.4 have no role.
    role = claims.get("role", "user")
    metadata = claims.get("metadata")
    generation = metadata.get("generation", 0) if isinstance(metadata, dict) else 0
    expires_at = float(claims["exp"])
    if not math.isfinite(expires_at):
        return INVALID
    if role not in ("user", "guest") or not isinstance(generation, int):
        return WRONG_KIND
    return Claims(claims["sub"], role, expires_at, generation)


def _padded(key: bytes) -> bytes:
    """Return a key that signs the same: HMAC fills a short key with zeros up to the block of its hash.

    PyJWT warns at every use of a short key; the server has warned once, at its start.
    """
    return key.ljust(_LONG_KEY, b"\0")


def _kept_secret(path: Path) -> bytes:
    """Return the secret in a file, made where there is none. Of several processes at once, all get the same."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_hex(_SECRET_BYTES).encode())
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, leaves the file of another process that was first.
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    kept = path.read_bytes().strip()
    if len(kept) < _SECRET_BYTES:
        raise OSError(f"{path} holds no secret")
    return kept
