"""What a call consists of, said once for blocking and asynchronous clients.

A *plan* is a generator that yields steps and is sent their outcomes. A transport carries it out, blocking or awaiting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

Handling = Literal["read", "save", "stream"]


class UploadBody(Protocol):
    """A request body that is sent in blocks."""

    content_type: str

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be sent once more."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes; None where they are not known beforehand."""
        ...

    def open(self) -> None:
        """Begin anew. Blocks; raises `OSError`."""
        ...

    def blocks(self) -> Iterator[bytes]:
        """Yield the body. Blocks while it reads."""
        ...

    def close(self) -> None:
        """Close what `open` has opened."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Outgoing:
    """An HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str] = dataclasses.field(repr=False)
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    content: bytes | None = dataclasses.field(default=None, repr=False)
    upload: UploadBody | None = None
    handling: Handling = "read"
    """What is to be done with a successful answer: read it, save it under `target`, leave it open."""
    target: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """Looked up in any case."""
    content: bytes = b""
    source: Any = None
    """The open answer, where it was to be left open."""

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300


class Failure(Exception):
    """No answer came. `was_sent` tells whether the request may have reached the server."""

    def __init__(self, reason: str, *, was_sent: bool, timed_out: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent
        self.timed_out = timed_out


@dataclasses.dataclass(frozen=True, slots=True)
class Send:
    """Send a request; the outcome is a `Reply`, or a `Failure` is raised."""

    request: Outgoing


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """Do something that blocks for a moment; the outcome is what it returns."""

    action: Callable[[], Any]


Step: TypeAlias = Send | Pause | Work
Plan: TypeAlias = Generator[Step, Any, T]
