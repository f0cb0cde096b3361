"""Which model reranks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lightrag.errors import ConfigurationError
from lightrag.settings.discovery import RerankHost
from lightrag.settings.options import Group, Option, Seconds, Secret
from lightrag.settings.vendors import VendorSettings, binding_word

RerankBinding = Literal["auto", "cohere", "jina", "voyageai", "aliyun", "tei", "vllm", "llamacpp", "generic"]


def _rerank_word(value: Any) -> Any:
    word = binding_word(value)
    return None if word in {"null", "", "embedded"} else {"dashscope": "aliyun"}.get(word, word)


class RerankSettings(Group):
    """The reranking model."""

    binding: Annotated[
        RerankBinding | None, Option(("RERANK_BINDING",), "--rerank-binding"), BeforeValidator(_rerank_word)
    ] = Field(
        None,
        description="one of cohere, jina, voyageai, aliyun, tei, vllm, llamacpp, generic, or auto (found out by asking "
        "RERANK_BINDING_HOST); null or unset: no reranking",
    )
    host: Annotated[RerankHost, Option(("RERANK_BINDING_HOST",))] = Field(
        None,
        description="base URL of the rerank server, or the whole address of its interface; llmservice: for the "
        "model service; unset: the vendor's",
    )
    api_key: Annotated[Secret, Option(("RERANK_BINDING_API_KEY",))] = Field(
        None, description="key for the rerank server; the vendor's own variable serves too"
    )
    model: Annotated[str | None, Option(("RERANK_MODEL",))] = Field(
        None, description="model name; unset: the vendor's usual one"
    )
    min_score: Annotated[float, Option(("MIN_RERANK_SCORE",))] = Field(
        0.0, ge=0, le=1, description="least score of a passage that is kept; scores are between 0 and 1"
    )
    max_async: Annotated[int, Option(("MAX_ASYNC_RERANK",))] = Field(4, ge=1, description="calls at the same time")
    timeout: Annotated[Seconds, Option(("RERANK_TIMEOUT",))] = Field(
        30, description="seconds for one call; None for no limit"
    )
    enable_chunking: Annotated[bool, Option(("RERANK_ENABLE_CHUNKING",))] = Field(
        False, description="judge long passages by their pieces, instead of leaving them to be cut"
    )
    max_tokens_per_doc: Annotated[int, Option(("RERANK_MAX_TOKENS_PER_DOC",))] = Field(
        480, ge=16, description="tokens of such a piece"
    )


def resolve_rerank(said: RerankSettings, vendors: VendorSettings) -> RerankSettings:
    """Return the settings with the key that the vendor's own variable holds, where none was given.

    Raises `ConfigurationError` where the server is not named and there is no usual one.
    """
    if said.binding in {"auto", "generic"} and not said.host:
        raise ConfigurationError(f"RERANK_BINDING={said.binding} needs an address: set RERANK_BINDING_HOST")
    if said.binding is None or said.api_key is not None or said.host is not None:
        return said
    return said.model_copy(update={"api_key": vendors.key(said.binding)})
