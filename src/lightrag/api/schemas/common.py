"""Parts that several bodies share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from lightrag.types import DocumentFilter, TagValue

DOC_ID = "doc-0cc175b9c0f1b6a831c399e269772661"
"""Of the document in examples."""


class Body(BaseModel):
    """A request or response body; unknown keys are ignored, as old and new clients send some."""

    model_config = ConfigDict(extra="ignore")


def example(value: JsonDict) -> ConfigDict:
    """Return the configuration of a body that is shown by an example."""
    return ConfigDict(json_schema_extra={"examples": [value]})


def _storable(text: str) -> str:
    # JSON can spell half of a surrogate pair, which no UTF-8 store or response can hold.
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "Input should be valid Unicode text") from None
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""A string that can be encoded."""

ModelKey = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512), AfterValidator(_storable)
]
"""A model that a request names: `name@provider`, or a name that only one model has."""

ShortText = Annotated[Text, Field(max_length=1024)]

_MAX_INTEGER = 2**53
TagInput = (
    Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(strict=True, ge=-_MAX_INTEGER, le=_MAX_INTEGER)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | Annotated[ShortText, Field(strict=True)]
    | Annotated[list[ShortText], Field(max_length=256)]
)
Tags = Annotated[
    dict[Annotated[Text, Field(min_length=1, max_length=128)], TagInput],
    Field(max_length=64, description="Metadata of the document by which questions can be filtered."),
]
DocId = Annotated[str, Path(min_length=1, max_length=1024, examples=[DOC_ID])]
OnConflict = Literal["skip", "update"]


def plain_tags(tags: dict[str, Any] | None) -> dict[str, TagValue]:
    """Return tags as the engine takes them."""
    return dict(tags or {})


class FilterBody(Body):
    """Restricts a question to some documents; filled fields must all hold."""

    # Elsewhere unknown fields are passed over; a misspelt filter would show what it was to leave out.
    model_config = ConfigDict(extra="forbid")

    doc_ids: list[ShortText] = Field(default_factory=list, max_length=10_000)
    file_paths: list[ShortText] = Field(
        default_factory=list, max_length=1000, description="Exact paths or shell patterns such as `reports/*.pdf`."
    )
    tags: Tags = Field(default_factory=dict)

    def to_filter(self) -> DocumentFilter:
        """Return the engine's filter."""
        return DocumentFilter(tuple(self.doc_ids), tuple(self.file_paths), plain_tags(self.tags))


class NamedModels(Body):
    """The models that a chat is to be answered with, where `model` is the name of this server."""

    answer_model: ModelKey | None = Field(
        None,
        description="The chat model that names the keywords and writes the answer, as `name@provider`, or by its name "
        "where only one model of the workspace has it; `model` is this server's own name.",
        examples=["gpt-4o-mini@OpenAI"],
    )
    rerank_model: ModelKey | None = Field(
        None, description="The model that reorders the passages, named likewise.", examples=["rerank-v3.5@Cohere"]
    )


class ErrorBody(Body):
    """An error: `detail` says what is wrong and how to mend it."""

    detail: str
