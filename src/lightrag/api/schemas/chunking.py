"""How a request asks for a way of cutting."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from lightrag.api.schemas.common import Text
from lightrag.indexing.chunkers import MAX_SIZE, PARAMETERS
from lightrag.types import BreakpointType, ChunkingChoice, ChunkingStrategy

Separator = Annotated[Text, Field(max_length=256)]


class ChunkingParams(BaseModel):
    """Parameters of a strategy; what is left out or null follows the settings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    chunk_token_size: Annotated[int, Field(ge=1, le=MAX_SIZE)] | None = None
    chunk_overlap_token_size: Annotated[int, Field(ge=0, le=MAX_SIZE)] | None = None
    split_by_character: Separator | None = None
    split_by_character_only: bool | None = None
    separators: Annotated[list[Separator], Field(max_length=64)] | None = None
    breakpoint_threshold_type: BreakpointType | None = None
    breakpoint_threshold_amount: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] | None = None
    buffer_size: Annotated[int, Field(ge=1, le=100)] | None = None
    drop_references: bool | None = None


class ChunkingRequest(BaseModel):
    """How a document is to be cut. It is remembered: updates and retries of the document are cut the same way."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"strategy": "fixed_token", "params": {"chunk_token_size": 1200, "chunk_overlap_token_size": 100}}
            ]
        },
    )

    strategy: ChunkingStrategy = "fixed_token"
    params: ChunkingParams = Field(default_factory=ChunkingParams)

    @model_validator(mode="after")
    def _params_of_the_strategy(self) -> ChunkingRequest:
        allowed = PARAMETERS[self.strategy]
        foreign = sorted(self._given().keys() - allowed)
        if foreign:
            raise PydanticCustomError(
                "foreign_parameter",
                "'{name}' is not a parameter of '{strategy}', which takes {allowed}",
                {"name": foreign[0], "strategy": self.strategy, "allowed": ", ".join(sorted(allowed))},
            )
        size, overlap = self.params.chunk_token_size, self.params.chunk_overlap_token_size
        only = self.params.split_by_character and self.params.split_by_character_only
        if size is not None and overlap is not None and overlap >= size and not only:
            raise PydanticCustomError("overlap", "chunk_overlap_token_size must be less than chunk_token_size")
        return self

    def to_choice(self) -> ChunkingChoice:
        """Return the engine's choice."""
        given = self._given()
        if "separators" in given:
            given["separators"] = tuple(given["separators"])
        return ChunkingChoice(self.strategy, **given)

    def _given(self) -> dict[str, Any]:
        return self.params.model_dump(exclude_none=True)


def choice_of(body: ChunkingRequest | None) -> ChunkingChoice | None:
    """Return the engine's choice; None where nothing is asked."""
    return None if body is None else body.to_choice()
