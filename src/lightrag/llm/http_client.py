"""One connection pool to a model server that has no SDK of its own: JSON in, bytes out, errors mapped to ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from lightrag.errors import ModelError
from lightrag.llm.endpoint import Endpoint
from lightrag.llm.late_client import LateClient
from lightrag.llm.network import client_options, current_gatekeeper

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 10.0

Headers = Mapping[str, str]
Authoriser = Callable[[str, str, bytes], Awaitable[Headers]]
"""Given method, address and body, returns the headers that prove who asks."""


class HttpClient:
    """Posts JSON to paths below `base_url`; the client itself is made at first use, in a thread.

    `headers` go with every request; `authorise` adds those that depend on the request. `timeout`: seconds for a whole
    answer, and between two pieces of a streamed one; None for no limit.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float | None,
        endpoint: Endpoint,
        headers: Headers | None = None,
        authorise: Authoriser | None = None,
    ) -> None:
        self._base_url = (base_url if "://" in base_url else f"http://{base_url}").rstrip("/")
        self._timeout = timeout
        self._endpoint = endpoint
        self._headers = {"content-type": "application/json"} | dict(headers or {})
        self._authorise = authorise
        self._gatekeeper = current_gatekeeper()
        self._http = LateClient(self._make, lambda http: http.aclose())

    async def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Send a request and return the body of the response; `path` may be a whole address."""
        return (await self._whole("POST", path, orjson.dumps(dict(body)))).content

    async def exchange(self, path: str, body: Mapping[str, Any]) -> tuple[bytes, Headers]:
        """Do as `post`, and return the headers of the response, too; their names are found in any case."""
        response = await self._whole("POST", path, orjson.dumps(dict(body)))
        return response.content, response.headers

    async def send(self, path: str, content: bytes, content_type: str) -> bytes:
        """Send a body that is not JSON, and return that of the response."""
        return (await self._whole("POST", path, content, {"content-type": content_type})).content

    async def get(self, path: str) -> bytes:
        """Return the body at an address."""
        return (await self._whole("GET", path, b"")).content

    @contextlib.asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request; the block gets the response's body piece by piece, and its end closes the response."""
        async with contextlib.AsyncExitStack() as stack:
            with self.translated():
                http = await self._http.get()
                request = await self._request(http, "POST", path, orjson.dumps(dict(body)))
                response = await http.send(request, stream=True)
            stack.push_async_callback(response.aclose)
            with self.translated():
                if response.status_code >= 300:
                    await response.aread()
                self._check(response)
            yield await stack.enter_async_context(contextlib.aclosing(self._pieces(response)))

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the transport's errors into ours."""
        import httpx2

        try:
            yield
        except ModelError:
            raise
        except httpx2.TimeoutException:
            raise self._endpoint.late(self._timeout) from None
        except (httpx2.TransportError, OSError) as error:
            raise self._endpoint.unreachable(f"the connection failed ({type(error).__name__}: {error})") from None
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise self._endpoint.refused(f"the address cannot be used ({error})", "correct the base URL") from None
        except httpx2.RequestError as error:
            raise self._endpoint.unusable(f"the answer cannot be read ({type(error).__name__})") from error

    async def aclose(self) -> None:
        """Release connections."""
        await self._http.aclose()

    async def _whole(self, method: str, path: str, content: bytes, headers: Headers | None = None) -> httpx2.Response:
        try:
            async with asyncio.timeout(self._timeout):
                with self.translated():
                    http = await self._http.get()
                    response = await http.send(await self._request(http, method, path, content, headers))
        except TimeoutError:
            raise self._endpoint.late(self._timeout) from None
        self._check(response)
        return response

    def _check(self, response: httpx2.Response) -> None:
        if response.status_code >= 300:
            raise self._endpoint.from_status(response.status_code, response.text, response.headers)

    async def _pieces(self, response: httpx2.Response) -> AsyncGenerator[bytes]:
        with self.translated():
            async for piece in response.aiter_bytes():
                yield piece

    async def _request(
        self, http: httpx2.AsyncClient, method: str, path: str, content: bytes, own: Headers | None = None
    ) -> httpx2.Request:
        url = path if "://" in path else self._base_url + path
        headers = (
            self._headers
            | dict(own or {})
            | (dict(await self._authorise(method, url, content)) if self._authorise else {})
        )
        return http.build_request(method, url, content=content or None, headers=headers)

    def _make(self) -> httpx2.AsyncClient:
        import httpx2

        connect = min(CONNECT_SECONDS, self._timeout or CONNECT_SECONDS)
        options = client_options(httpx2, self._gatekeeper)
        return httpx2.AsyncClient(timeout=httpx2.Timeout(self._timeout, connect=connect), **options)


def bearer(api_key: str | None) -> dict[str, str]:
    """Return the header that carries a key; none without one."""
    return {"authorization": f"Bearer {api_key}"} if api_key else {}
