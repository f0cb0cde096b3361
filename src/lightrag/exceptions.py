"""LightRAG's names for errors, over those of `lightrag.errors`."""

from __future__ import annotations

from lightrag.errors import ConfigurationError, InvalidInput, LightRAGError, StorageError


class StorageNotInitializedError(StorageError, RuntimeError):
    """A storage was used before `initialize_storages()`."""

    def __init__(self, storage_type: str = "Storage") -> None:
        super().__init__(f"{storage_type} is not open. Call `await rag.initialize_storages()` first.")


class PipelineNotInitializedError(KeyError):
    """The pipeline's state was used before it was set up."""

    def __init__(self, namespace: str = "") -> None:
        super().__init__(
            f"Pipeline namespace '{namespace}' is not set up. Call `await rag.initialize_storages()` first."
        )


class PipelineCancelledException(LightRAGError):
    """Work was stopped because a user asked for it."""

    def __init__(self, message: str = "User cancelled") -> None:
        super().__init__(message)
        self.message = message


class ArgumentError(InvalidInput, ValueError):
    """An argument of a method cannot be used; nothing was changed."""


class ChunkTokenLimitExceededError(InvalidInput, ValueError):
    """A piece of a text is longer than a chunk may be, and nothing else may cut it."""

    def __init__(self, chunk_tokens: int, chunk_token_limit: int, chunk_preview: str | None = None) -> None:
        preview = chunk_preview.strip() if chunk_preview else ""
        shown = f"; it begins {preview[:80]!r}" if preview else ""
        super().__init__(
            f"A chunk has {chunk_tokens} tokens, the limit is {chunk_token_limit}{shown}. Raise chunk_token_size, or "
            "let pieces be cut further (split_by_character_only=False)."
        )
        self.chunk_tokens = chunk_tokens
        self.chunk_token_limit = chunk_token_limit
        self.chunk_preview = preview[:80]


class StorageChoiceError(ConfigurationError, ValueError):
    """The named storages do not exist or do not work together."""
