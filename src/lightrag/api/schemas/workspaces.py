"""Bodies of the routes on workspaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from lightrag.api.schemas.common import Body, Tags, Text

Description = Annotated[Text, Field(max_length=10_000)]


class WorkspaceWish(Body):
    """A workspace to be created."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"name": "tenant-a", "description": "Contracts of the first customer"}]},
    )

    name: Annotated[Text, Field(max_length=1024, examples=["tenant-a"])]
    description: Description = ""
    labels: Tags = Field(default_factory=dict)


class RenameWish(Body):
    """A workspace's new name."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"new_name": "tenant-b"}]},
    )

    new_name: Annotated[Text, Field(max_length=1024, examples=["tenant-b"])]


ENTRY_EXAMPLE: JsonDict = {"name": "tenant-a", "is_default": False, "is_open": True, "role": "admin"}


class WorkspaceEntry(Body):
    """A workspace in the list."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [ENTRY_EXAMPLE]},
    )

    name: str = Field(description="Empty for the root workspace.")
    is_default: bool
    is_open: bool = Field(description="Whether this process has it open.")
    role: str = Field(description="Yours.")


class WorkspaceReport(Body):
    """A workspace with its sizes, models and usage."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "name": "tenant-a",
                    "is_default": False,
                    "description": "",
                    "labels": {},
                    "state": "active",
                    "created_at": 1764000000,
                    "documents": {"processed": 3},
                    "entities": 120,
                    "relations": 240,
                    "database_bytes": 1048576,
                    "input_bytes": 52000,
                    "is_open": True,
                    "models": {"chat": ["gpt-4@OpenAI"]},
                    "usage": {"calls": 12, "total_tokens": 5210, "cost_usd": 0.031},
                }
            ]
        },
    )

    name: str
    is_default: bool
    description: str
    labels: Mapping[str, Any]
    state: str
    created_at: int | None = Field(description="Seconds since 1970; null where it was never entered.")
    documents: Mapping[str, int] = Field(description="Number by status.")
    entities: int
    relations: int
    database_bytes: int
    input_bytes: int
    is_open: bool
    models: Mapping[str, Sequence[str]] = Field(
        description="Its own models that are switched on, as name@provider, by type."
    )
    usage: Mapping[str, Any] = Field(description="Sums over all calls of models that were made for it.")


class WorkspaceAnswer(Body):
    """What was done."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [{"status": "success", "message": "Workspace 'tenant-a' was created", "name": "tenant-a"}]
        },
    )

    status: str = "success"
    message: str
    name: str


class ImportAnswer(WorkspaceAnswer):
    """What an import brought in."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "status": "success",
                    "message": "Workspace 'tenant-a' was imported",
                    "name": "tenant-a",
                    "rows": {"text_chunks": 42},
                }
            ]
        },
    )

    rows: Mapping[str, int]
