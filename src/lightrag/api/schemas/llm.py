"""Bodies of the routes below `/llm/`. Requests are documented here and read by `lightrag.api.llm_fields`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Envelope(BaseModel):
    """Every answer: `code`/`message` and `retcode`/`retmsg` say the same, 0 and `success` where all went well."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"retcode": 0, "retmsg": "success", "code": 0, "message": "success", "data": True}]
        }
    )

    retcode: int
    retmsg: str
    code: int
    message: str
    data: Any = None


class Key(BaseModel):
    """A provider's key. Fields that only some providers want (`api_version`, `bedrock_sk`, …) stand beside these."""

    model_config = ConfigDict(extra="allow")

    llm_factory: str = Field(description="name of the provider, as in /llm/factories", examples=["OpenAI"])
    api_key: str | dict[str, Any] | None = Field(
        None, description="the key, or several fields as a JSON object; absent or blank: the stored one stays"
    )
    api_base: str | None = Field(None, description="base URL (also base_url); absent: the stored or provider's own one")
    credential: str | None = Field(None, description="label, where the workspace has several keys of one provider")
    verify: bool | None = Field(None, description="true: only try, store nothing")
    unverified: bool | None = Field(None, description="true: store without trying")


class NewModel(Key):
    """A model to be added or changed."""

    llm_name: str = Field(examples=["gpt-4"])
    model_type: str = Field(description="chat, embedding, rerank, image2text, speech2text or tts", examples=["chat"])
    max_tokens: int | None = Field(None, description="context window in tokens")
    max_output_tokens: int | None = None
    dimension: int | None = Field(None, description="length of an embedding model's vectors")
    order: int | None = Field(None, description="among keys of one model: the lowest first")
    weight: float | None = Field(None, description="share of the calls among keys of one order")
    price_in: float | None = Field(None, description="US dollars for a million prompt tokens")
    price_cached: float | None = None
    price_out: float | None = None


class ModelName(BaseModel):
    """A model of the workspace."""

    llm_factory: str = Field(examples=["OpenAI"])
    llm_name: str = Field(examples=["gpt-4"])
    model_type: str | None = None
    credential: str | None = None
    force: bool | None = Field(None, description="true: also where defaults name it")


class Switch(BaseModel):
    """A model to be switched on or off."""

    llm_factory: str = Field(examples=["OpenAI"])
    llm_name: str = Field(examples=["gpt-4"])
    model_type: str | None = None
    status: str | None = Field(None, description="1 for on, 0 for off; absent: on", examples=["1"])


class Factory(BaseModel):
    """A provider of the workspace."""

    llm_factory: str = Field(examples=["OpenAI"])
    force: bool | None = Field(None, description="true: also where defaults name its models")


class Defaults(BaseModel):
    """Models by slot: `name@provider`, or a list of which the others stand in for the first; null for none."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"chat": "gpt-4@OpenAI", "answer": None}]})
