"""Name a model server in errors, and tell from its answers which of our errors they are."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from lightrag.errors import (
    AccessRefused,
    ContextTooLong,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    UnusableAnswer,
)
from lightrag.types import CUT

_CONTEXT_SIGNS = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "max_tokens_per_request",
    "tokens per request",
    "input is too long",
    "prompt is too long",
    "input too long",
    "too many tokens",
    "reduce the length",
    "maximum allowed batch size",
    "tokens per submitted batch",
    "must have less than",
    "must match the size of tensor",
    "must match the existing size",
)
_TOO_LONG = re.compile(
    r"\b(?:inputs?|prompt|texts?|sequence|passage)\b.{0,80}?"
    r"(?:too long|too large|longer than|larger than|exceed\w*\b.{0,40}?(?:length|token|context|size|max))"
)
"""How servers say that a text does not fit that have no word for its reason: who is to blame, and what is wrong."""
_QUOTA_SIGNS = (
    "insufficient_quota",
    "insufficient balance",
    "exceeded your current quota",
    "credit balance is too low",
    "billing",
)
_KEY_SIGNS = ("api_key_invalid", "api key not valid", "invalid api key", "invalid_api_key")
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|gsk|xai|nvapi)-[\w*.-]{4,}|\b(?:hf|jina|gsk)_\w{16,}|\bAIza[\w-]{30,}|\bAKIA[0-9A-Z]{12,}"
    r"|Bearer\s+[^\s\"']+|(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"
    r"|(?<=key=)[^\s&\"']{8,}|-----BEGIN[^-]+PRIVATE KEY-----[\s\S]*?(?:-----END[^-]+-----|$)"
)
_EXCERPT = 300
_SECRET_LENGTH = 8
"""Shorter keys are no secrets, but words that servers get which want no key."""


def public_url(url: str) -> str:
    """Return `url` without user, password, query and trailing slash: fit for messages and cache keys."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None:
        host = f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def without_keys(text: str) -> str:
    """Return a text with everything blotted out that looks like a key, a token or a password in an address."""
    return _KEY_LIKE.sub("***", text)


def fingerprint(parameters: Mapping[str, Any]) -> str:
    """Return a short hash of parameters, the empty string for none."""
    if not parameters:
        return ""
    return hashlib.md5(
        orjson.dumps(dict(parameters), option=orjson.OPT_SORT_KEYS, default=str), usedforsecurity=False
    ).hexdigest()[:12]


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a response asks for, in seconds.

    Reads `retry-after-ms`, and `Retry-After` as seconds or an HTTP date (RFC 9110, 10.2.3).
    """
    milliseconds = headers.get("retry-after-ms", "")
    value = headers.get("retry-after", "").strip()
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(value)) if value else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """One model on one server, as errors speak of it. `secret` is blotted out of every message."""

    model: str
    host: str
    model_setting: str
    """What to check when the server does not know the model."""
    secret: str = dataclasses.field(default="", repr=False)

    def unreachable(self, reason: str) -> ModelUnreachable:
        """Return the error for a connection that failed, timed out or broke."""
        advice = "check that the server runs and that its address is right"
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            advice = "set SSL_CERT_FILE to a file that holds the certificate of the server, or of who signed it"
        return ModelUnreachable(self._text(reason, advice))

    def late(self, seconds: float | None) -> ModelUnreachable:
        """Return the error for an answer that did not come in time."""
        limit = f"{seconds:g} s" if seconds is not None else "the time limit"
        return ModelUnreachable(
            self._text(f"no answer within {limit}", "raise the time-out, or lower the number of parallel calls")
        )

    def empty(self, finish_reason: str) -> UnusableAnswer:
        """Return the error for an answer without text."""
        if finish_reason == CUT:
            return self.unusable("the answer was cut off before any text came", "allow more tokens for the answer")
        return self.unusable(f"the answer is empty (finish reason '{finish_reason}')")

    def unusable(self, reason: str, advice: str = "try again, or choose another model") -> UnusableAnswer:
        """Return the error for an answer that has nothing usable in it."""
        return UnusableAnswer(self._text(reason, advice))

    def refused(self, reason: str, advice: str) -> ModelRefused:
        """Return the error for a request that will never succeed as it is."""
        return ModelRefused(self._text(reason, advice))

    def no_access(self, reason: str, advice: str) -> AccessRefused:
        """Return the error for a request that this server refuses to this account."""
        return AccessRefused(self._text(reason, advice))

    def too_long(self, reason: str) -> ContextTooLong:
        """Return the error for a prompt or text that does not fit."""
        return ContextTooLong(
            self._text(reason, "use smaller chunks or token budgets, or a model with a larger context")
        )

    def from_status(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> ModelError:
        """Return the error that an HTTP status with its body stands for."""
        error = self._from_status(status, body, headers or {})
        error.status = status
        return error

    def _from_status(self, status: int, body: str, headers: Mapping[str, str]) -> ModelError:
        detail = self._detail(body)
        reason = f"HTTP {status}: {detail}" if detail else f"HTTP {status}"
        lowered = body.lower()
        # 413 from a proxy in front of the model says nothing of tokens, but less of a text will pass there, too.
        if status == 413 or (status in (400, 422, 424, 500) and _tells_of_length(lowered)):
            return self.too_long(reason)
        if status == 402 or (status in (400, 403, 429) and any(sign in lowered for sign in _QUOTA_SIGNS)):
            return self.no_access(reason, "the account's quota is used up: add credit or use another key")
        wait = retry_after_seconds(headers)
        if status == 429 or (status >= 500 and wait is not None):
            said = f"; the server asks to wait {wait:g} s" if wait is not None else ""
            return ModelRateLimited(self._text(reason + said, "lower the number of parallel calls"), wait)
        if status >= 500 or status in (408, 425):
            return self.unreachable(reason)
        if status in (401, 403) or (status == 400 and any(sign in lowered for sign in _KEY_SIGNS)):
            return self.no_access(reason, "check the API key and what it may use")
        if status == 404:
            return self.no_access(reason, f"check the base URL and {self.model_setting}")
        return self.refused(reason, "check the model's parameters; the same request will not succeed")

    def _detail(self, body: str) -> str:
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._clean(body)
        for key in ("error", "detail", "message"):
            if isinstance(parsed, dict) and parsed.get(key):
                parsed = parsed[key]
        return self._clean(parsed if isinstance(parsed, str) else orjson.dumps(parsed).decode())

    def _text(self, reason: str, advice: str) -> str:
        return f"Model '{self.model}' at {self.host}: {self._clean(reason)} ({advice})"

    def _clean(self, text: str) -> str:
        if len(self.secret) >= _SECRET_LENGTH:
            text = text.replace(self.secret, "***")
        elif self.secret:
            # Servers that want no key get one such as `x`: letters within words stay.
            text = re.sub(rf"(?<!\w){re.escape(self.secret)}(?!\w)", "***", text)
        text = without_keys(" ".join(text.split()))
        return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"


def _tells_of_length(lowered: str) -> bool:
    return any(sign in lowered for sign in _CONTEXT_SIGNS) or _TOO_LONG.search(lowered) is not None
