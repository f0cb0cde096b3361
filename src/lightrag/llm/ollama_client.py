"""One connection pool to an Ollama server, with its errors mapped to ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lightrag.errors import ModelError
from lightrag.llm.endpoint import Endpoint
from lightrag.llm.late_client import LateClient
from lightrag.llm.network import client_options, current_gatekeeper

if TYPE_CHECKING:
    import httpx
    from ollama import AsyncClient

_CONNECT_SECONDS = 10.0
_REFUSE_TRUNCATION = b'{"truncate":false,"shift":false,'


class OllamaClient:
    """The SDK's client, made at first use."""

    def __init__(self, host: str, api_key: str | None, timeout: float | None, endpoint: Endpoint) -> None:
        self._host = host
        self._api_key = api_key
        self._timeout = timeout
        self._endpoint = endpoint
        self._gatekeeper = current_gatekeeper()
        self._sdk = LateClient(self._make, _close)

    async def sdk(self) -> AsyncClient:
        """Return the SDK's client."""
        return await self._sdk.get()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the SDK's and its transport's errors into ours."""
        import httpx
        import ollama
        import pydantic

        try:
            yield
        except ModelError:
            raise
        except ollama.ResponseError as error:
            status = error.status_code if error.status_code >= 400 else 500  # -1: reported inside a stream
            raise self._endpoint.from_status(status, json.dumps({"error": error.error})) from None
        except httpx.TimeoutException:
            raise self._endpoint.late(self._timeout) from None
        except (httpx.RequestError, ConnectionError) as error:
            raise self._endpoint.unreachable(f"the connection failed ({type(error).__name__}: {error})") from None
        except (pydantic.ValidationError, ValueError, TypeError, AttributeError) as error:
            raise self._endpoint.unusable("the answer is not of Ollama's form") from error

    async def aclose(self) -> None:
        """Release connections."""
        await self._sdk.aclose()

    def _make(self) -> AsyncClient:
        import httpx
        from ollama import AsyncClient

        # An explicit header, if an empty one, keeps the SDK from sending OLLAMA_API_KEY to whatever server this is.
        authorization = f"Bearer {self._api_key}" if self._api_key else "none"
        return AsyncClient(
            self._host,
            timeout=httpx.Timeout(self._timeout, connect=min(_CONNECT_SECONDS, self._timeout or _CONNECT_SECONDS)),
            headers={"authorization": authorization},
            event_hooks={"request": [self._prepare], "response": [self._raise_for_status]},
            **client_options(httpx, self._gatekeeper),
        )

    async def _prepare(self, request: httpx.Request) -> None:
        import httpx

        if not self._api_key:
            request.headers.pop("authorization", None)
        if request.url.path.endswith("/api/chat"):
            # The server would shorten a long conversation and say nothing; the SDK has no field to forbid that.
            content = _REFUSE_TRUNCATION + request.content[1:]
            request.stream = httpx.ByteStream(content)
            request.headers["content-length"] = str(len(content))

    async def _raise_for_status(self, response: httpx.Response) -> None:
        """Raise our error here, where Retry-After can still be read; the SDK's error has no headers."""
        if response.status_code >= 400:
            await response.aread()
            raise self._endpoint.from_status(response.status_code, response.text, response.headers)


async def _close(sdk: AsyncClient) -> None:
    await sdk.close()  # type: ignore[no-untyped-call]
