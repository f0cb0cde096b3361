"""Bodies of the routes on usage, limits and estimates. Requests of limits are documented here and read by hand."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from lightrag.api.schemas.common import Body, Text

Amount = Annotated[int | None, Field(ge=0, description="null for no limit")]
Dollars = Annotated[float | None, Field(ge=0, description="US dollars; null for no limit")]


LIMITS_EXAMPLE: JsonDict = {
    "tokens_per_day": {"limit": 500000, "used": 1200, "reserved": 0, "resets_at": "2026-02-01T00:00:00+00:00"}
}


class LimitWish(BaseModel):
    """Limits to be set; what is not named stays as it is, null removes a limit."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tokens_per_day": 500000, "cost_per_month": 20, "requests_per_minute": None}]}
    )

    requests_per_minute: Amount = None
    tokens_per_minute: Amount = None
    concurrency: Amount = None
    tokens_per_day: Amount = None
    tokens_per_month: Amount = None
    cost_per_day: Dollars = None
    cost_per_month: Dollars = None
    force: bool | None = Field(None, description="true: also where a budget lies below what is used already")


class ReEmbedWish(BaseModel):
    """The embedding model that a workspace is changed to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "text-embedding-3-small@OpenAI"}]})

    model: str | None = Field(None, description="name@provider; absent: the workspace's default")


class EstimateWish(Body):
    """Texts whose indexing is to be estimated."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"texts": ["Ada Lovelace wrote the first program."]}]})

    texts: list[Text] = Field(min_length=1, max_length=1000)


class CallEstimate(Body):
    """Calls of one kind."""

    model: str = Field(description="what would be called, as name@provider or binding/name; empty for bundled parts")
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None = Field(description="null where the price is not known, 0 for bundled parts")


ESTIMATE_EXAMPLE: JsonDict = {
    "documents": 1,
    "unread": 0,
    "chunks": 1,
    "tokens": 9,
    "extraction": {
        "model": "gpt-4o-mini@OpenAI",
        "calls": 1,
        "prompt_tokens": 640,
        "completion_tokens": 105,
        "cost_usd": 0.00016,
    },
    "embedding": {"model": "", "calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0},
    "pictures": {"model": "", "calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0},
    "calls": 1,
    "total_tokens": 745,
    "cost_usd": 0.00016,
}


class Estimate(Body):
    """What indexing will take, roughly. Summaries of names that many documents mention come on top."""

    model_config = ConfigDict(json_schema_extra={"examples": [ESTIMATE_EXAMPLE]})

    documents: int
    unread: int = Field(description="files among them of which nothing is foreseen: not readable, or beyond 50 files")
    chunks: int
    tokens: int = Field(description="of the chunks")
    extraction: CallEstimate
    embedding: CallEstimate
    pictures: CallEstimate = Field(description="descriptions of the pictures in files, one call each")
    calls: int
    total_tokens: int
    cost_usd: float | None = Field(description="null where a price is not known")
