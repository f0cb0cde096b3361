"""The models of an instance: its functions where it has some, what the settings name elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from lightrag.engine_models import Models
from lightrag.facade.fields import Fields
from lightrag.facade.functions import BINDING, FunctionChat, FunctionEmbedding, FunctionRerank
from lightrag.facade.runner import Runner
from lightrag.indexing.manifest import Manifest
from lightrag.llm.cache import CachedChat
from lightrag.llm.contracts import ModelFacts, Role
from lightrag.llm.embedding_func import EmbeddingFunc
from lightrag.llm.limiter import Limiter
from lightrag.llm.retry import RetryPolicy
from lightrag.llm.stack import chat_stack, embedding_stack, rerank_stack
from lightrag.model_assembly import open_models
from lightrag.settings import Settings
from lightrag.storage.contracts import Namespace, Storage

_POLICY = RetryPolicy(attempts=3, unusable_attempts=2, deadline=300.0)
"""Functions mostly try again themselves."""
_ROLE_NAMES: Mapping[str, tuple[Role, ...]] = {
    "extract": (Role.EXTRACT, Role.SUMMARY),
    "keyword": (Role.KEYWORDS,),
    "query": (Role.ANSWER,),
}


class HashingKV:
    """What functions are handed as `hashing_kv`: the configuration that they read the model's name from."""

    def __init__(self, global_config: Mapping[str, Any]) -> None:
        self.global_config = dict(global_config)


@dataclasses.dataclass(frozen=True, slots=True)
class FunctionModels:
    """Opens the models of an instance."""

    fields: Fields
    runner: Runner
    config: Mapping[str, Any]

    async def open(self, settings: Settings, storage: Storage, recorded: Manifest | None) -> Models:
        """Return the models; those that the fields name take the place of those of the settings."""
        models = await open_models(settings, storage, recorded)
        fields = self.fields
        if fields.llm_model_func is not None:
            limiter = Limiter(fields.llm_model_max_async)
            chat = self._chat(fields.llm_model_func, fields.llm_model_kwargs, limiter, settings, storage, models)
            by_role = dict.fromkeys((Role.EXTRACT, Role.SUMMARY, Role.KEYWORDS, Role.ANSWER), chat)
            models = dataclasses.replace(models, chat=by_role, extraction=(limiter,))
        models = self._with_roles(settings, storage, models)
        if fields.embedding_func is not None:
            models = dataclasses.replace(models, embedding=self._embedding(recorded, models))
        if fields.rerank_model_func is not None:
            reranker = FunctionRerank(fields.rerank_model_func, self.runner, fields.default_rerank_timeout)
            limiter = Limiter(fields.rerank_model_max_async)
            models = dataclasses.replace(models, reranker=rerank_stack(reranker, limiter=limiter, meter=models.meter))
        return models

    def chat(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> FunctionChat:
        """Return the chat model behind a function."""
        hashing_kv = HashingKV(self.config)
        name = self.fields.llm_model_name
        return FunctionChat(function, name, self.runner, arguments, hashing_kv, self.fields.default_llm_timeout)

    def _chat(
        self,
        function: Callable[..., Any],
        arguments: Mapping[str, Any],
        limiter: Limiter,
        settings: Settings,
        storage: Storage,
        models: Models,
    ) -> CachedChat:
        return chat_stack(
            self.chat(function, arguments),
            limiter=limiter,
            meter=models.meter,
            store=storage.kv(Namespace.LLM_CACHE),
            policy=_POLICY,
            cached_roles=_cached_roles(settings),
        )

    def _with_roles(self, settings: Settings, storage: Storage, models: Models) -> Models:
        chat, extraction = dict(models.chat), models.extraction
        for name, config in (self.fields.role_llm_configs or {}).items():
            function = _part(config, "func")
            if function is None or name not in _ROLE_NAMES:
                continue
            limiter = Limiter(_part(config, "max_async") or self.fields.llm_model_max_async)
            made = self._chat(function, _part(config, "kwargs") or {}, limiter, settings, storage, models)
            chat.update(dict.fromkeys(_ROLE_NAMES[name], made))
            if name == "extract":
                extraction = (limiter,)
        return dataclasses.replace(models, chat=chat, extraction=extraction)

    def _embedding(self, recorded: Manifest | None, models: Models) -> Any:
        function = self.fields.embedding_func
        model = FunctionEmbedding(
            function, _embedding_facts(function, recorded), self.runner, self.fields.default_embedding_timeout
        )
        return embedding_stack(
            model,
            limiter=Limiter(self.fields.embedding_func_max_async),
            meter=models.meter,
            policy=_POLICY,
            max_batch=self.fields.embedding_batch_num,
        )


def _embedding_facts(function: Any, recorded: Manifest | None) -> ModelFacts:
    """Return what is known of an embedding function.

    Nobody can tell which model is behind a function, so a workspace keeps the name that is recorded in it; vectors of
    another dimension are refused by the stores.
    """
    wrapped = function if isinstance(function, EmbeddingFunc) else None
    dimension = wrapped.embedding_dim if wrapped is not None else None
    name = (wrapped.model_name if wrapped is not None else None) or getattr(function, "__name__", "") or "unnamed"
    binding = BINDING
    if recorded is not None and "/" in recorded.embedding:
        binding, name = recorded.embedding.split("/", 1)
    return ModelFacts(binding, name, dimension=dimension)


def _cached_roles(settings: Settings) -> frozenset[Role]:
    roles = {Role.SUMMARY}
    if settings.indexing.cache_extractions:
        roles.add(Role.EXTRACT)
    if settings.query.cache_answers:
        roles |= {Role.KEYWORDS, Role.ANSWER}
    return frozenset(roles)


def _part(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
