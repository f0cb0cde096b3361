"""Bodies of the routes that take documents in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from lightrag.api.schemas.chunking import ChunkingRequest
from lightrag.api.schemas.common import DOC_ID, Body, OnConflict, Tags, Text, example

SourceName = Annotated[Text, Field(max_length=1024)]
_TEXT_EXAMPLE: JsonDict = {
    "text": "Ada Lovelace wrote the first program for Charles Babbage's Analytical Engine.",
    "file_source": "ada.txt",
    "tags": {"topic": "history"},
}


class InsertTextRequest(Body):
    """A text to be indexed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TEXT_EXAMPLE]})

    text: Text = Field(min_length=1)
    file_source: SourceName | None = Field(None, description="Name of the source, shown in references.")
    tags: Tags = Field(default_factory=dict)
    on_conflict: OnConflict = Field(
        "skip", description="What to do where the source is known already: leave it, or replace a changed text."
    )
    chunking: ChunkingRequest | None = Field(None, description="How to cut the text; left out: as the settings say.")

    @model_validator(mode="before")
    @classmethod
    def _one_text(cls, values: Any) -> Any:
        return _not_both(values, "texts", "/documents/texts")

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        return _visible(text)


class InsertTextsRequest(Body):
    """Several texts to be indexed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "texts": ["Alice leads Acme.", "Bob founded Initech."],
                    "file_sources": ["acme.txt", "initech.txt"],
                }
            ]
        }
    )

    texts: list[Text] = Field(min_length=1)
    file_sources: list[SourceName | None] | None = Field(
        None, description="Names of the sources, in the order of the texts."
    )
    tags: Tags = Field(default_factory=dict)
    on_conflict: OnConflict = "skip"
    chunking: ChunkingRequest | None = Field(None, description="How to cut the texts; left out: as the settings say.")

    @model_validator(mode="before")
    @classmethod
    def _many_texts(cls, values: Any) -> Any:
        return _not_both(values, "text", "/documents/text")

    @field_validator("texts")
    @classmethod
    def _not_blank(cls, texts: list[str]) -> list[str]:
        return [_visible(text) for text in texts]


class UpdateTextRequest(Body):
    """The changed text of a document."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Alice led Acme until 2024."}]})

    text: Text = Field(min_length=1)
    tags: Tags | None = Field(None, description="Replaces the tags where it is given.")
    chunking: ChunkingRequest | None = Field(None, description="How to cut the text; left out: as it was cut before.")

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        return _visible(text)


class AcceptedDocument(Body):
    """What became of one offered document."""

    doc_id: str
    file_path: str
    status: Literal["accepted", "updated", "duplicated"]


class InsertResponse(Body):
    """Whether documents were taken over; they are durable when this is sent, and indexed in the background."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "success",
                    "message": "Text successfully received. Processing will continue in background.",
                    "track_id": "insert_20260102_030405_0a1b2c3d",
                    "documents": [
                        {
                            "doc_id": "doc-0cc175b9c0f1b6a831c399e269772661",
                            "file_path": "ada.txt",
                            "status": "accepted",
                        }
                    ],
                }
            ]
        }
    )

    status: Literal["success", "duplicated"]
    message: str
    track_id: str
    documents: list[AcceptedDocument]


class BatchResponse(Body):
    """What became of several files; the message names those that were not taken."""

    model_config = example(
        {
            "status": "partial_success",
            "message": "Successfully inserted 1 out of 2 documents. Failed files: a.exe (unsupported type)",
            "track_id": "upload_20260102_030405_0a1b2c3d",
            "documents": [{"doc_id": DOC_ID, "file_path": "ada.txt", "status": "accepted"}],
        }
    )

    status: Literal["success", "partial_success", "failure"]
    message: str
    track_id: str
    documents: list[AcceptedDocument]


def _not_both(values: Any, other: str, route: str) -> Any:
    if isinstance(values, dict) and values.get(other) is not None:
        raise PydanticCustomError(
            "conflicting_fields",
            "'{other}' does not belong here; send either one text to /documents/text or several to /documents/texts, "
            "not both ('{other}' goes to {route})",
            {"other": other, "route": route},
        )
    return values


def _visible(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("string_too_short", "Text must not be blank", {"min_length": 1})
    return text
