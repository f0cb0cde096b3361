"""The service's errors; mapped to HTTP once, at the edge."""

from __future__ import annotations


class ServiceError(Exception):
    """Something that a user can read and act on."""


class ModelLoadError(ServiceError):
    """A model's files are missing, damaged, or not for this backend."""


class ContextOverflow(ServiceError):
    """A prompt does not fit into the model's context."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(
            f"The input has {tokens} tokens and the model's context holds {limit}; shorten it or raise the tier's "
            "context length"
        )
        self.tokens = tokens
        self.limit = limit


class InvalidRequest(ServiceError):
    """A parameter that the service or the model cannot use."""
