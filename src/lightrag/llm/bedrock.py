"""LightRAG's functions for Amazon Bedrock (extra `bedrock`)."""

from __future__ import annotations

import os
from typing import Any

from lightrag.llm.bedrock_binding import BedrockChat, bedrock_embedding
from lightrag.llm.bedrock_client import AwsAccount
from lightrag.llm.contracts import FloatArray
from lightrag.llm.embedding_func import wrap_embedding_func_with_attrs
from lightrag.llm.extras import require
from lightrag.llm.function_calls import Answer, History, answer, embedded, model_name, options

__all__ = ["bedrock_complete", "bedrock_complete_if_cache", "bedrock_embed"]


async def bedrock_complete_if_cache(
    model: str,
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    enable_cot: bool = False,
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
    **kwargs: Any,
) -> Answer:
    """Answer a prompt; without keys, those that AWS's own tools find are used. Raises `ModelError`."""
    require("botocore", "bedrock", "lightrag.llm.bedrock")
    sent = options(kwargs)
    account = _account(aws_access_key_id, aws_secret_access_key, aws_session_token)
    host, timeout = sent.pop("endpoint_url", None), sent.pop("timeout", None) or 180.0
    chat = BedrockChat(model, host, sent.pop("api_key", None), timeout, sent, account=account)
    return await answer(chat, prompt, system_prompt, history_messages, stream=kwargs.get("stream"))


async def bedrock_complete(
    prompt: str,
    system_prompt: str | None = None,
    history_messages: History | None = None,
    keyword_extraction: bool = False,
    entity_extraction: bool = False,
    **kwargs: Any,
) -> Answer:
    """Answer with the model that `hashing_kv.global_config["llm_model_name"]` names."""
    return await bedrock_complete_if_cache(model_name(kwargs), prompt, system_prompt, history_messages, **kwargs)


@wrap_embedding_func_with_attrs(embedding_dim=1024, max_token_size=8192, model_name="amazon.titan-embed-text-v2:0")
async def bedrock_embed(
    texts: list[str],
    model: str = "amazon.titan-embed-text-v2:0",
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
    **kwargs: Any,
) -> FloatArray:
    """Embed texts. Raises `ModelError`."""
    require("botocore", "bedrock", "lightrag.llm.bedrock")
    account = _account(aws_access_key_id, aws_secret_access_key, aws_session_token)
    return await embedded(bedrock_embedding(model, kwargs.get("endpoint_url"), account=account), texts)


def _account(key_id: str | None, secret: str | None, token: str | None) -> AwsAccount:
    region = os.getenv("AWS_REGION") or os.getenv("AWS_DEFAULT_REGION") or ""
    return AwsAccount(region, key_id or "", secret or "", token or "", os.getenv("AWS_PROFILE", ""))
