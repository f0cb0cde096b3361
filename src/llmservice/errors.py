"""The service's errors; mapped to HTTP once, at the edge."""

from __future__ import annotations


class ServiceError(Exception):
    """Something that a user can read and act on."""


class ConfigurationError(ServiceError):
    """Settings that the service cannot start with."""


class ModelLoadError(ServiceError):
    """A model's files are missing, damaged, or not for this backend."""


class WorkerEndedLoading(ModelLoadError):
    """A worker process ended while it loaded a model; its files may be good."""


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

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ModelNotFound(ServiceError):
    """No model is known by a name."""


class TierUnavailable(ServiceError):
    """A tier has no model, cannot load it, or lost it."""

    def __init__(self, message: str, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class Overloaded(ServiceError):
    """A tier's queue is full."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(ServiceError):
    """A request took longer than it may."""


class WorkerLost(ServiceError):
    """A worker process ended while it had work."""


class BackendFailure(ServiceError):
    """A model failed at a request for a reason of its own."""
