"""Every error that the SDK raises, in one tree below `ClientError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ClientError(Exception):
    """Base of all errors of the SDK.

    `status` is the HTTP status, None where no answer came; `request_id` finds the request in the server's log.
    """

    def __init__(
        self, message: str, *, status: int | None = None, body: Any = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        """The answer's JSON, or its text where it is none."""
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers in other processes send their errors back, whose arguments are not those of the base class.
        return _restored, (type(self), self.args, self.__dict__)


class Unauthorized(ClientError):
    """401: no credentials, or wrong or expired ones."""


class Forbidden(ClientError):
    """403: the credentials do not entitle to this, or there is no such workspace."""


class NotFound(ClientError):
    """404: there is no such thing."""


class Conflict(ClientError):
    """409: the request contradicts the present state; the message says how to resolve it."""


class Invalid(ClientError):
    """400, 413 or 422: the request cannot be carried out as it is, and nothing was changed.

    Raised without asking the server where a request could not be sent as it is.
    """

    @property
    def details(self) -> Sequence[Mapping[str, Any]]:
        """What is wrong with which field (`loc`, `msg`, `type`), where the server listed it."""
        found = self.body.get("detail") if isinstance(self.body, dict) else None
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


class RateLimited(ClientError):
    """429: too many requests or tokens at present."""

    def __init__(self, message: str, *, retry_after: float | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after
        """Seconds that the server asked to wait, where it said so."""


class BudgetExceeded(RateLimited):
    """402: what the workspace or token may use in a day or month is used up."""


class ServerError(ClientError):
    """The server failed (5xx), or answered with something that is no answer of this API."""


class Unavailable(ServerError):
    """503: the server, a store or a model server cannot be used at present."""

    def __init__(self, message: str, *, retry_after: float | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after
        """Seconds that the server asked to wait, where it said so."""


class Unreachable(ClientError):
    """No answer came: no connection, or one that broke off."""


class TimedOut(Unreachable):
    """No answer came in time. What was asked for may have been done."""


class AnswerBroken(ClientError):
    """A streamed answer ended before it was complete; `text` is what had come by then."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class NotDone(ClientError, TimeoutError):
    """Documents were not done within the time that one would wait; they are processed all the same."""

    def __init__(self, message: str, documents: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.documents = documents
        """How far each is."""


class LLMError(ClientError):
    """A route below `/llm` answered with a code other than 0 in its envelope.

    What the caller may not do, and what contradicts the present state, is the error of its HTTP status there too.
    """

    def __init__(self, code: int, message: str, **about: Any) -> None:
        super().__init__(message, **about)
        self.code = code
        self.message = message


def _restored(kind: type[ClientError], args: tuple[Any, ...], state: dict[str, Any]) -> ClientError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
