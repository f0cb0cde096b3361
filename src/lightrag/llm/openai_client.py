"""One connection pool to an OpenAI-compatible server, its errors mapped to ours, and what the server refuses."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from lightrag.errors import ContextTooLong, ModelError, ModelRefused
from lightrag.llm.endpoint import Endpoint
from lightrag.llm.late_client import LateClient
from lightrag.llm.network import client_options, current_gatekeeper

if TYPE_CHECKING:
    from openai import AsyncOpenAI, RequestOptions

    from lightrag.llm.openai_events import Events

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """How a server that speaks the dialect is addressed."""

    binding: str = "openai"
    key_header: str = ""
    """The header that carries the key; empty: `Authorization`, as a bearer token."""
    query: tuple[tuple[str, str], ...] = ()
    """Parameters of every address."""


class OpenAIClient:
    """The SDK's client, made at first use; speaks JSON in and bytes or decoded events out."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout: float | None,
        headers: Mapping[str, str] | None,
        endpoint: Endpoint,
        gateway: Gateway | None = None,
    ) -> None:
        gateway = gateway or Gateway()
        self._base_url = base_url if "://" in base_url else f"http://{base_url}"
        self._query = dict(gateway.query)
        self._api_key = "" if gateway.key_header else api_key or ""
        self._timeout = timeout
        self._headers = dict(headers or {})
        if gateway.key_header and api_key:
            self._headers[gateway.key_header] = api_key
        self._endpoint = endpoint
        self._gatekeeper = current_gatekeeper()
        self._sdk = LateClient(self._make, lambda sdk: sdk.close())

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Send a request and return the body of the response."""
        import httpx2

        sdk = await self._sdk.get()
        with self.translated():
            response = await sdk.post(path, body=body, cast_to=httpx2.Response, options=self._options())
        return response.content

    async def open(self, path: str, body: Mapping[str, Any]) -> Events:
        """Send a request and return the events of the response, decoded from JSON; the caller closes them."""
        sdk = await self._sdk.get()
        from lightrag.llm.openai_events import Events

        with self.translated():
            return await sdk.post(
                path,
                body=body,
                cast_to=object,
                options=self._options(),
                stream=True,
                stream_cls=Events,
            )

    def reported(self, error: Any) -> ModelError:
        """Return the error that a server reports inside a response or a stream that began well."""
        code = str(error.get("code")) if isinstance(error, dict) else ""
        status = int(code) if code.isdigit() and 400 <= int(code) < 600 else 500
        return self._endpoint.from_status(status, orjson.dumps({"error": error}, default=str).decode())

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the SDK's errors into ours."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            response = error.response
            raise self._endpoint.from_status(response.status_code, response.text, response.headers) from None
        except openai.APITimeoutError:
            raise self._endpoint.late(self._timeout) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__
            if isinstance(cause, ModelError):
                raise cause from None
            reason = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
            raise self._endpoint.unreachable(f"the connection failed ({reason})") from None
        except openai.APIError as error:
            raise self.reported(error.body or error.message) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._endpoint.unusable("the server sent an event that is not JSON") from error

    async def aclose(self) -> None:
        """Release connections."""
        await self._sdk.aclose()

    def _options(self) -> RequestOptions:
        import openai

        # Going without a key has to be said with every request, or the SDK refuses to send it.
        return {} if self._api_key else {"headers": {"Authorization": openai.Omit()}}

    def _make(self) -> AsyncOpenAI:
        import httpx2
        import openai

        from lightrag.llm import plain_http

        # Credentials come from the settings only: what the environment holds for OpenAI must not reach other servers.
        key = f"Bearer {self._api_key}" if self._api_key else openai.Omit()
        headers: dict[str, Any] = {
            "Authorization": key,
            "OpenAI-Organization": openai.Omit(),
            "OpenAI-Project": openai.Omit(),
        }
        timeout = openai.Timeout(self._timeout, connect=min(_CONNECT_SECONDS, self._timeout or _CONNECT_SECONDS))
        options = client_options(httpx2, self._gatekeeper) or {"mounts": plain_http.mounts()}
        return openai.AsyncOpenAI(
            api_key=self._api_key,
            admin_api_key="",
            base_url=self._base_url,
            timeout=timeout,
            max_retries=0,
            default_headers=headers | self._headers,
            default_query=self._query,
            _enforce_credentials=False,
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, **options),
        )


class Concessions:
    """Remembers which optional parameters a server refuses, and sends requests without them.

    Servers that speak the dialect differ in what they know; they say so by a 4xx that names the parameter.
    """

    def __init__(self) -> None:
        self._made: set[str] = set()

    async def attempt(self, body: Mapping[str, Any], send: Callable[[dict[str, Any]], Awaitable[_T]]) -> _T:
        """Send `body` as far as the server is known to take it; give way and send again where it objects."""
        while True:
            adapted = self._adapted(body)
            try:
                return await send(adapted)
            except ContextTooLong:
                raise
            except ModelRefused as error:
                if not self._give_way(str(error).lower(), adapted):
                    raise

    def _adapted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        adapted = {name: value for name, value in body.items() if name not in self._made}
        if "max_tokens" in self._made and "max_tokens" in body:
            adapted["max_completion_tokens"] = body["max_tokens"]
        return adapted

    def _give_way(self, objection: str, sent: Mapping[str, Any]) -> bool:
        for name, signs in _OBJECTIONS.items():
            if name in sent and all(any(word in objection for word in words) for words in signs):
                _log.info("the model server refuses %r, it is left out from now on: %s", name, objection)
                self._made.add(name)
                return True
        return False


_UNSUPPORTED = ("support", "unknown", "unrecognized", "not permitted", "not allowed", "extra", "deprecated")
_OBJECTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "response_format": (("response_format", "json_object", "json mode"),),
    "stream_options": (("stream_options",),),
    "max_tokens": (("max_completion_tokens",),),
    "temperature": (("temperature",), _UNSUPPORTED),
    "encoding_format": (("encoding_format", "base64"),),
}
"""Per parameter: groups of words, of each of which one must stand in the server's message."""
