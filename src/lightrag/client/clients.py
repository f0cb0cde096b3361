"""The clients: blocking, asynchronous, and under the name that RAGFlow's examples use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from lightrag.client.access import AccessControl, AsyncAccessControl
from lightrag.client.decoding import plain
from lightrag.client.documents import AsyncDocuments, Documents
from lightrag.client.errors import ServerError
from lightrag.client.graph import AsyncGraphOf, GraphOf
from lightrag.client.llm import AsyncLlm, Llm
from lightrag.client.operations import AsyncPart, Link, Part, SyncPart, endpoint, operation
from lightrag.client.query import AsyncQuery, Query
from lightrag.client.records import AuthStatus, Login
from lightrag.client.requests import Account, Address, Route, Wish, body_of
from lightrag.client.retrying import RetryPolicy
from lightrag.client.steps import Plan, Reply
from lightrag.client.transports import AwaitableTransport, BlockingTransport
from lightrag.client.workspaces import AsyncWorkspaces, Workspaces

DEFAULT_URL = "http://localhost:9621"
DEFAULT_TIMEOUT = 600.0
"""Seconds without a byte: answers may take as long as a model needs. Connecting gets ten seconds at most."""
DEFAULT_RETRIES = 3

_LOGIN = Route("POST", "/login", is_repeatable=False)
_METRICS = Route("GET", "/metrics", is_repeatable=True)


class _ServerCalls(Part):
    """Calls on the server as a whole."""

    @endpoint("GET", "/health", plain)
    def health(self) -> Wish:
        """Return the server's state, and its configuration for callers who may see it."""
        return Wish()

    @endpoint("GET", "/livez", lambda data: plain(data).get("status") == "ok")
    def is_alive(self) -> Wish:
        """Return True as long as the server's process answers."""
        return Wish()

    @endpoint("GET", "/readyz", lambda data: plain(data).get("status") == "ok")
    def is_ready(self) -> Wish:
        """Return True when the stores answer. Raises `Unavailable` when they do not."""
        return Wish()

    @endpoint("GET", "/auth-status", AuthStatus.read)
    def auth_status(self) -> Wish:
        """Tell whether one can log in."""
        return Wish()

    @endpoint("GET", "/auth/verify", lambda data: plain(data).get("status") == "ok")
    def verify_credentials(self) -> Wish:
        """Return True where the credentials are right. Raises `Unauthorized` or `Forbidden` where they are not."""
        return Wish()

    @operation
    def metrics(self) -> Plan[str]:
        """Return metrics in Prometheus' text format."""
        reply: Reply = yield from self._exchange(_METRICS, Wish(accept="text/plain"))
        return reply.content.decode("utf-8", "replace")

    @operation
    def login(self, user: str, password: str) -> Plan[Login]:
        """Exchange a name and a password for a token, which this client and its views show from then on.

        Fresh tokens that the server sends before it expires are taken over. Raises `Unauthorized`, `RateLimited`.
        """
        form = {"username": user, "password": password}
        reply: Reply = yield from self._exchange(_LOGIN, Wish(form=form))
        login = Login.read(body_of(reply))
        if not login.access_token.isascii():
            raise ServerError("The server's token cannot be sent back", status=reply.status)
        self._link.address.account.token = login.access_token
        return login

    @property
    def base_url(self) -> str:
        """Where the server is."""
        return self._link.address.base_url

    @property
    def workspace(self) -> str | None:
        """The workspace of this client; None leaves it to the token or the server's default."""
        return self._link.address.workspace

    @property
    def token(self) -> str | None:
        """The bearer token that is shown at present."""
        return self._link.address.account.token

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, workspace={self.workspace!r})"


class LightRAGClient(_ServerCalls, SyncPart):
    """A blocking client of a server. Use it in a `with` block, or `close` it; several threads may share it.

    `api_key`: the server's key or an access token. `token`: a bearer token, as `login` gets one. `workspace`: whose
    documents, graph and models the calls are about; see `in_workspace`. `timeout`: seconds without a byte, or an
    `httpx.Timeout`. `retries`: how often a request is repeated where that is safe. `headers` go with every request.
    `http`: an `httpx.Client` of your own (proxies, certificates), whose time-outs hold and which you close.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        token: str | None = None,
        workspace: str | None = None,
        *,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
        retries: int | RetryPolicy = DEFAULT_RETRIES,
        headers: Mapping[str, str] | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        address = _address(base_url, api_key, token, workspace, headers)
        self._transport = BlockingTransport(timeout, http)
        self._connect(Link(self._transport, address, _policy(retries)))

    def _connect(self, link: Link) -> None:
        super().__init__(link)
        self.documents = Documents(link)
        self.query = Query(link)
        self.graph = GraphOf(link)
        self.workspaces = Workspaces(link)
        self.access = AccessControl(link)
        self.llm = Llm(link)

    def in_workspace(self, name: str | None) -> LightRAGClient:
        """Return a view of this client in another workspace; it has the same connections, and nothing to be closed.

        None: the workspace of the token, or the server's default one.
        """
        return _View(_moved(self._link, name))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _View(LightRAGClient):
    """Another workspace by the same connections, which belong to the client that it is a view of."""

    def __init__(self, link: Link) -> None:
        self._connect(link)

    def close(self) -> None:
        """Do nothing."""


class AsyncLightRAGClient(_ServerCalls, AsyncPart):
    """An asynchronous client of a server; arguments as of `LightRAGClient`.

    Use it in an `async with` block, or `aclose` it, on the event loop that it is used on.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        token: str | None = None,
        workspace: str | None = None,
        *,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
        retries: int | RetryPolicy = DEFAULT_RETRIES,
        headers: Mapping[str, str] | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        address = _address(base_url, api_key, token, workspace, headers)
        self._transport = AwaitableTransport(timeout, http)
        self._connect(Link(self._transport, address, _policy(retries)))

    def _connect(self, link: Link) -> None:
        super().__init__(link)
        self.documents = AsyncDocuments(link)
        self.query = AsyncQuery(link)
        self.graph = AsyncGraphOf(link)
        self.workspaces = AsyncWorkspaces(link)
        self.access = AsyncAccessControl(link)
        self.llm = AsyncLlm(link)

    def in_workspace(self, name: str | None) -> AsyncLightRAGClient:
        """Return a view of this client in another workspace; it has the same connections, and nothing to be closed.

        None: the workspace of the token, or the server's default one.
        """
        return _AsyncView(_moved(self._link, name))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _AsyncView(AsyncLightRAGClient):
    """Another workspace by the same connections, which belong to the client that it is a view of."""

    def __init__(self, link: Link) -> None:
        self._connect(link)

    async def aclose(self) -> None:
        """Do nothing."""


class RagFlow(LightRAGClient):
    """`LightRAGClient` with the arguments that RAGFlow's examples give; the key is shown as a bearer token."""

    def __init__(self, api_key: str, base_url: str = DEFAULT_URL, **options: Any) -> None:
        super().__init__(base_url, token=api_key, **options)


def _address(
    base_url: str,
    api_key: str | None,
    token: str | None,
    workspace: str | None,
    headers: Mapping[str, str] | None,
) -> Address:
    named = {"User-Agent": "lightrag-client"} | dict(headers or {})
    return Address(base_url, Account(api_key, token), workspace, named)


def _policy(retries: int | RetryPolicy) -> RetryPolicy:
    return retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries)


def _moved(link: Link, workspace: str | None) -> Link:
    return dataclasses.replace(link, address=dataclasses.replace(link.address, workspace=workspace))
