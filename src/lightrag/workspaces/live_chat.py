"""Chat models that are looked up anew for every call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lightrag.errors import AccessRefused, LimitReached
from lightrag.llm.cache import KeptChat
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, ModelFacts, Role
from lightrag.llm.limiter import closing
from lightrag.tenancy.resolution import CHAT_ROLES

if TYPE_CHECKING:
    from lightrag.workspaces.live_models import LiveModels

_BACKGROUND = frozenset({Role.EXTRACT, Role.SUMMARY, Role.IMAGE2TEXT})


class PresentChats(Mapping[Role, KeptChat]):
    """The chat models that there are at the moment of looking."""

    def __init__(self, live: LiveModels) -> None:
        self._live = live

    def __getitem__(self, role: Role) -> KeptChat:
        """Return what to call for a role that some model serves."""
        if self._live.chat(role) is None:
            raise KeyError(role)
        return self._live.roles[role]

    def __iter__(self) -> Iterator[Role]:
        """Iterate over the roles that some model serves."""
        return (role for role in CHAT_ROLES if self._live.chat(role) is not None)

    def __len__(self) -> int:
        """Return how many roles some model serves."""
        return sum(1 for _ in self)


def chat_of_role(live: LiveModels, role: Role) -> LiveChat:
    """Return the chat model of a role, whichever that is when it is called."""

    def find() -> KeptChat:
        model = live.chat(role)
        if model is None and role is Role.IMAGE2TEXT:
            raise AccessRefused(
                "The workspace has no model that describes pictures any more; add one (POST /llm/add_llm with "
                "model_type image2text)"
            )
        if model is None:
            raise AccessRefused(
                "The workspace has no chat model any more; add one (POST /llm/add_llm), or configure LLM_BINDING"
            )
        return model

    return LiveChat(live, find)


class LiveChat:
    """A chat model that is found anew for each call; `find` raises `LightRAGError` where there is none any more."""

    def __init__(self, live: LiveModels, find: Callable[[], KeptChat]) -> None:
        self._live = live
        self._find = find

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model of this moment."""
        return self._find().facts

    def key_of(self, request: ChatRequest) -> str:
        """Return the key under which the answer to `request` is kept."""
        return self._find().key_of(request)

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop kept answers."""
        # Also those of a model that the workspace has no more.
        await self._live.forget(keys)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer. Raises `LimitReached` to who waits for it; work in the background waits itself.

        Where the limit is a token's, only its work is to wait: that is left to those who know what else there is to do.
        """
        while True:
            try:
                async with self._live.using():
                    return await self._find().complete(request)
            except LimitReached as error:
                if request.role not in _BACKGROUND or error.holds_back is not None:
                    raise
                await self._live.rest(error)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written."""
        async with self._live.using(), closing(self._find().stream(request)) as deltas:
            async for delta in deltas:
                yield delta

    async def aclose(self) -> None:
        """Do nothing: the models are closed together."""
