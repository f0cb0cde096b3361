"""The service without HTTP: settings, one runner a tier, the cache, and how a model name finds its runner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from llmservice.cache import ResponseCache
from llmservice.config import Settings
from llmservice.errors import InvalidRequest, ModelNotFound, TierUnavailable
from llmservice.openai_tokens import OpenAiTokens
from llmservice.runner import TierRunner
from llmservice.tiers import ModelKind, Tier, UnknownModel, tier_of
from llmservice.workers.link import WORKER_COMMAND

_ASKED_FOR = {"chat": "generate text", "embedding": "make embeddings", "rerank": "rerank documents"}


class ModelService:
    """All tiers of one service process."""

    def __init__(self, settings: Settings, worker_command: Sequence[str] = WORKER_COMMAND) -> None:
        self.settings = settings
        self.cache = ResponseCache(settings.cache)
        self.openai_tokens = OpenAiTokens()
        self.runners = {tier: TierRunner(tier, one, worker_command) for tier, one in settings.tiers.items()}
        self.started = int(time.time())
        self.draining = False
        self._names = settings.names()
        self._in_flight = 0
        self._last_use = time.monotonic()

    def runner(self, model: str, kind: ModelKind | None = None) -> TierRunner:
        """Return the runner that a requested model name means.

        Raises:
            ModelNotFound: no rule applies to the name.
            TierUnavailable: the tier has no model.
            InvalidRequest: the tier's model is not asked for this.
        """
        try:
            tier = tier_of(model, self._names, self.settings.server.model_aliases)
        except UnknownModel:
            raise ModelNotFound(f"Model not found: {model}") from None
        runner = self.runners.get(tier)
        if runner is None:
            raise TierUnavailable(f"No models available for tier: {tier}")
        if kind is not None and runner.kind != kind:
            others = (
                ", ".join(str(one.tier) for one in self.runners.values() if one.kind == kind) or "none is configured"
            )
            raise InvalidRequest(
                f"The model of tier {tier} cannot {_ASKED_FOR[kind]}; tiers that can: {others}", "model"
            )
        return runner

    def deadline(self) -> float:
        """Return when a request that begins at this moment must have ended, on the loop's clock."""
        return asyncio.get_running_loop().time() + self.settings.server.request_timeout

    def begin(self) -> None:
        """Count a request in."""
        self._in_flight += 1

    def end(self) -> None:
        """Count a request out."""
        self._in_flight -= 1
        self._last_use = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """How long nobody has asked for anything."""
        return 0.0 if self._in_flight else time.monotonic() - self._last_use

    async def open(self) -> None:
        """Make ready to serve; no model is loaded."""
        await self.cache.open()

    async def aclose(self) -> None:
        """End all workers and write what is to be kept."""
        self.draining = True
        await asyncio.gather(*(runner.aclose() for runner in self.runners.values()))
        await self.cache.aclose()


def tier_states(service: ModelService) -> dict[str, str]:
    """Return every tier's state, `absent` for one without a model."""
    return {str(tier): service.runners[tier].state if tier in service.runners else "absent" for tier in Tier}
