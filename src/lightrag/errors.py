"""Every error that the engine raises on purpose, in one small tree.

The tree says what went wrong, not which status code it becomes: `lightrag.api` maps it to HTTP in one place.
A message names what is wrong, where, and what to do about it.
"""

from __future__ import annotations


class LightRAGError(Exception):
    """Base of all errors of this package."""


# What a caller did wrong.


class InvalidInput(LightRAGError):
    """The request cannot be carried out as it is; nothing was changed."""


class UnsupportedFormat(InvalidInput):
    """The file is of a kind that no parser reads."""


class TooLarge(InvalidInput):
    """The input exceeds a size, page, or decompression limit."""


class UnreadableDocument(InvalidInput):
    """The file is damaged, encrypted, empty, or not what its name says."""


class ChunkTokenLimitExceededError(InvalidInput, ValueError):
    """A piece that must not be cut further is longer than a chunk may be. The name is LightRAG's."""

    def __init__(self, chunk_tokens: int, chunk_token_limit: int, chunk_preview: str | None = None) -> None:
        preview = (chunk_preview or "").strip()[:80]
        super().__init__(
            f"Chunk token length {chunk_tokens} exceeds chunk_token_size {chunk_token_limit}; raise chunk_token_size "
            "or leave out split_by_character_only." + (f" Preview: '{preview}'" if preview else "")
        )
        self.chunk_tokens = chunk_tokens
        self.chunk_token_limit = chunk_token_limit
        self.chunk_preview = preview or None


class NotFound(LightRAGError):
    """The named thing does not exist in this workspace."""


class UnknownModel(NotFound):
    """The request names a model that cannot be used for it; the message names those that can."""


class AmbiguousModel(InvalidInput):
    """The request names a model by a name that several have; the message names them in full."""


class Forbidden(LightRAGError):
    """The caller may not do this; whether what it is about exists is not told."""


class Conflict(LightRAGError):
    """The request contradicts the present state; the message says which and how to resolve it."""


class ConfigurationError(LightRAGError):
    """A setting is missing, malformed, or contradicts another; names the setting and the mend."""


# What a workspace or token may use.


class LimitReached(LightRAGError):
    """A limit of the workspace or token does not allow this call at present; nothing was called."""

    def __init__(
        self, message: str, retry_after: float, kind: str = "", subject: str = "", *, is_brief: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until the limit allows calls again, as far as that is known."""
        self.kind = kind
        """Which limit it is, as `tokens_per_day`."""
        self.subject = subject
        """`workspace` or `token`."""
        self.is_brief = is_brief
        """Whether there may be room as soon as one of the calls that run is over."""
        self.token_id: str | None = None
        """Which token it is, where the limit is a token's."""

    @property
    def holds_back(self) -> str | None:
        """The token whose work has to wait, other work of the workspace need not; None where that is not so.

        Where calls that run make room soon, that is waited for by the call itself.
        """
        return self.token_id if self.subject == "token" and not self.is_brief else None


class RateLimited(LimitReached):
    """Too much within a minute, or too many calls at once."""


class BudgetExceeded(LimitReached):
    """What may be used in a day or month is used up."""


# What a model server did.


class ModelError(LightRAGError):
    """A model call failed.

    `retryable` tells whether the same call may succeed later without a change of settings.
    """

    retryable = False
    status: int | None = None
    """The HTTP status, where the server answered with one."""


class ModelUnreachable(ModelError):
    """No connection, a time-out, or a 5xx answer."""

    retryable = True


class ModelRateLimited(ModelError):
    """The server asked to slow down (429, or 503 with Retry-After)."""

    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds the server asked to wait, where it said so."""


class ModelRefused(ModelError):
    """The server rejected the request for good: wrong key, unknown model, quota used up, invalid parameters."""


class AccessRefused(ModelRefused):
    """The server does not serve this account or model (wrong key, quota used up, unknown model); another one may."""


class ContextTooLong(ModelRefused):
    """The prompt does not fit the model's context."""


class UnusableAnswer(ModelError):
    """The model answered, but with nothing that can be used (empty, cut off, or not of the asked form)."""

    retryable = True


# What a store did.


class StorageError(LightRAGError):
    """A store failed."""


class StorageUnavailable(StorageError):
    """The store cannot be reached or is locked; trying again may succeed."""


class StorageDamaged(StorageError):
    """Stored data cannot be read; the message names the file and the way to mend it."""


class StorageMismatch(StorageError):
    """The workspace was written with other settings (embedding model, dimension, storage family)."""
