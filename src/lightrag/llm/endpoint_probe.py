"""Find out what a model server can do, by asking it little, and which settings suit it."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Awaitable, Sequence
from typing import Literal

from pydantic import SecretStr

from lightrag.errors import AccessRefused, ModelError, ModelUnreachable
from lightrag.llm.endpoint import Endpoint, public_url
from lightrag.llm.endpoint_listing import ListedModel, list_models

Level = Literal["ok", "note", "broken"]
PROBE_SECONDS = 60.0

_NUMBER = r"(\d[\d,_]{2,})"
_UPPER = r"at most|up to|less than or equal to|<=|not exceed|maximum(?: allowed)?(?: \w+){0,6}?"
_LIMITS = (
    re.compile(rf"(?:{_UPPER})\D{{0,20}}{_NUMBER}"),
    re.compile(rf"(?:context|limit|maximum|supports)\D{{0,60}}{_NUMBER}"),
    re.compile(rf"> {_NUMBER}"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried."""

    level: Level
    subject: str
    detail: str


@dataclasses.dataclass(slots=True)
class EndpointReport:
    """What was found out about one model on one server."""

    kind: Literal["chat", "embedding", "rerank"]
    name: str
    """Binding, model and address."""
    checks: list[Check] = dataclasses.field(default_factory=list)
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    """Variables to set; a key is told as a word only."""

    @property
    def is_usable(self) -> bool:
        """Whether nothing is broken."""
        return all(check.level != "broken" for check in self.checks)

    def ok(self, subject: str, detail: str) -> None:
        """Note what works."""
        self.checks.append(Check("ok", subject, detail))

    def note(self, subject: str, detail: str) -> None:
        """Note what is to be known."""
        self.checks.append(Check("note", subject, detail))

    def broken(self, subject: str, detail: str) -> None:
        """Note what does not work."""
        self.checks.append(Check("broken", subject, detail))


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The server that is asked."""

    binding: str
    host: str
    model: str
    api_key: SecretStr | None
    timeout: float

    @property
    def key(self) -> str | None:
        """The key as text."""
        return self.api_key.get_secret_value() if self.api_key else None

    def endpoint(self) -> Endpoint:
        """Return how errors speak of it."""
        return Endpoint(self.model, public_url(self.host), "the model's name", self.key or "")

    def name(self) -> str:
        """Return how a report speaks of it."""
        return (
            f"{self.binding}/{self.model} at {public_url(self.host)}" if self.host else f"{self.binding}/{self.model}"
        )


async def check_server(report: EndpointReport, target: Target) -> ListedModel | None:
    """Check reachability, credentials, and that the model is there; return what the server tells of the model."""
    try:
        listed = await list_models(target.binding, target.host, target.key, target.timeout, target.endpoint())
    except ModelUnreachable as error:
        # What is not listed may still be served: some gateways have no list, and answer it with an error of theirs.
        if error.status is None:
            report.broken("reachable", str(error))
        else:
            report.note("models", f"the server does not list its models ({error})")
        return None
    except AccessRefused as error:
        if error.status in (401, 403):
            report.broken("key", str(error))
        else:
            report.note("models", "the server does not list its models")
        return None
    except ModelError as error:
        report.note("models", f"the server does not list its models ({error})")
        return None
    if listed is None:
        report.note("models", f"servers of the binding {target.binding} do not list their models")
        return None
    report.ok("reachable", f"{public_url(target.host)} answers and lists {len(listed)} models")
    await _check_key(report, target)
    return _found(report, target, listed)


async def _check_key(report: EndpointReport, target: Target) -> None:
    if not target.key:
        report.ok("key", "the server asks for none")
        return
    try:
        await list_models(target.binding, target.host, None, target.timeout, target.endpoint())
    except ModelError:
        report.ok("key", "the key is accepted")
    else:
        report.note("key", "the list of models is given without a key, too")


def _found(report: EndpointReport, target: Target, listed: Sequence[ListedModel]) -> ListedModel | None:
    names = [model.name for model in listed]
    wanted = target.model
    known = {wanted, f"{wanted}:latest"}
    found = next((model for model in listed if model.name in known), None)
    if found is not None:
        told = f", context of {found.context_tokens:,} tokens" if found.context_tokens else ""
        report.ok("model", f"'{found.name}' is there{told}")
    elif target.binding == "tei" and listed:
        report.ok("model", f"the server runs '{listed[0].name}'")
        return listed[0]
    else:
        near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4) or names[:5]
        report.note("model", f"'{wanted}' is not listed; there are: {', '.join(near) or 'none'}")
    return found


async def outcome(call: Awaitable[object]) -> ModelError | None:
    """Return the error that a call ends with; None where it succeeds."""
    try:
        await call
    except ModelError as error:
        return error
    return None


def told_limit(error: ModelError, asked: int = 0) -> int | None:
    """Return the limit that an error's message names; never the number that was asked for."""
    message = str(error)
    for pattern in _LIMITS:
        for match in pattern.finditer(message):
            number = int(re.sub(r"\D", "", match.group(1)))
            if number != asked and number >= 16:
                return number
    return None
