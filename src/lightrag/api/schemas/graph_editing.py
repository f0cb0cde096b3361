"""Bodies of the routes that change the graph by hand."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.config import JsonDict

from lightrag.api.schemas.common import Body, Text, example
from lightrag.indexing.edits import Edit
from lightrag.types import FIELD_SEPARATOR, Entity

_Name = Annotated[Text, Field(min_length=1, max_length=1024)]


class EntityCreateRequest(Body):
    """A new entity. Fields: description, entity_type, source_id, file_path."""

    model_config = example(
        {"entity_name": "Tesla", "entity_data": {"description": "Car maker", "entity_type": "ORGANIZATION"}}
    )

    entity_name: _Name
    entity_data: dict[str, Any]


class EntityUpdateRequest(Body):
    """Fields of an entity to change; `entity_name` among them is the name it is to bear."""

    model_config = example({"entity_name": "Tesla", "updated_data": {"description": "Maker of electric cars"}})

    entity_name: _Name
    updated_data: dict[str, Any]
    allow_rename: bool = Field(False, description="Allow another `entity_name`.")
    allow_merge: bool = Field(False, description="Merge where the other name is taken.")


class EntityMergeRequest(Body):
    """Entities to become one."""

    model_config = example({"entities_to_change": ["Tesla Inc", "Tesla Motors"], "entity_to_change_into": "Tesla"})

    entities_to_change: list[Annotated[Text, Field(max_length=1024)]] = Field(min_length=1, max_length=1000)
    entity_to_change_into: _Name


class RelationCreateRequest(Body):
    """A new relation. Fields: description, keywords, weight, source_id, file_path."""

    model_config = example(
        {
            "source_entity": "Alice",
            "target_entity": "Tesla",
            "relation_data": {"description": "Alice drives a Tesla.", "keywords": "drives", "weight": 1.0},
        }
    )

    source_entity: _Name
    target_entity: _Name
    relation_data: dict[str, Any]


class RelationUpdateRequest(Body):
    """Fields of a relation to change."""

    model_config = example(
        {"source_id": "Alice", "target_id": "Tesla", "updated_data": {"description": "Alice owns a Tesla."}}
    )

    source_id: _Name
    target_id: _Name
    updated_data: dict[str, Any]


class EntityDeleteRequest(Body):
    """An entity to delete."""

    model_config = example({"entity_name": "Tesla"})

    entity_name: _Name


class RelationDeleteRequest(Body):
    """A relation to delete."""

    model_config = example({"source_entity": "Alice", "target_entity": "Tesla"})

    source_entity: _Name
    target_entity: _Name


class EntityListRequest(Body):
    """Which entities to list."""

    model_config = example({"label": "tesla", "limit": 10})

    label: Annotated[Text, Field(max_length=1024)] | None = Field(
        None, description="A part of the name; without it, the entities with most relations."
    )
    limit: int = Field(50, ge=1, le=1000)


class EntityItem(Body):
    """An entity in a list."""

    entity_name: str
    entity_type: str
    description: str
    source_id: str
    file_path: str
    created_at: int
    degree: int

    @staticmethod
    def of(entity: Entity, degree: int) -> EntityItem:
        """Return an entity in LightRAG's field names."""
        return EntityItem(
            entity_name=entity.name,
            entity_type=entity.type,
            description=entity.description,
            source_id=FIELD_SEPARATOR.join(entity.chunk_ids),
            file_path=FIELD_SEPARATOR.join(entity.file_paths),
            created_at=entity.created_at,
            degree=degree,
        )


class ExistsResponse(Body):
    """Whether there is such an entity."""

    model_config = example({"exists": True})

    exists: bool


class EditResponse(Body):
    """What an edit made of an entity or relation."""

    model_config = example(
        {
            "status": "success",
            "message": "Entity 'Tesla' created successfully",
            "data": {
                "entity_name": "Tesla",
                "source_id": "manual_creation",
                "graph_data": {"entity_id": "Tesla", "entity_type": "ORGANIZATION", "description": "Car maker"},
            },
            "edit_id": "edit-1-0cc175b9",
        }
    )

    status: Literal["success"] = "success"
    message: str
    data: dict[str, Any]
    edit_id: str | None = Field(None, description="By this the edit can be undone; null where nothing was changed.")


class OperationSummary(Body):
    """How an edit of an entity went, in LightRAG's words. Edits are done as a whole or not at all."""

    merged: bool
    merge_status: Literal["success", "failed", "not_attempted"]
    merge_error: str | None = None
    operation_status: Literal["success", "partial_success", "failure"] = "success"
    target_entity: str | None = None
    final_entity: str
    renamed: bool


class EntityEditResponse(EditResponse):
    """What an edit made of an entity, and whether it bears another name."""

    operation_summary: OperationSummary


class DeletionResponse(Body):
    """That something was deleted from the graph."""

    model_config = example(
        {
            "status": "success",
            "doc_id": "",
            "message": "Entity 'Tesla' and its 2 relationships have been deleted.",
            "status_code": 200,
            "file_path": None,
            "edit_id": "edit-2-92eb5ffe",
        }
    )

    status: Literal["success"] = "success"
    doc_id: str = Field(default="", description="always empty: no document is deleted")
    message: str
    status_code: int = 200
    file_path: str | None = None
    edit_id: str


_EDIT: JsonDict = {
    "id": "edit-2-92eb5ffe",
    "number": 2,
    "kind": "delete_entity",
    "arguments": {"name": "Tesla"},
    "created_at": 1767322800,
    "author": "",
    "undone": False,
}


class EditItem(Body):
    """One edit of the log."""

    model_config = example(_EDIT)

    id: str
    number: int
    kind: str
    arguments: dict[str, Any]
    created_at: int
    author: str
    undone: bool

    @staticmethod
    def of(edit: Edit) -> EditItem:
        """Return an edit as it is shown."""
        return EditItem(
            id=edit.id,
            number=edit.number,
            kind=edit.kind.value,
            arguments=dict(edit.arguments),
            created_at=edit.created_at,
            author=edit.author,
            undone=edit.undone,
        )


class EditList(Body):
    """Edits, the newest first."""

    model_config = example({"edits": [_EDIT], "next_before": None})

    edits: list[EditItem]
    next_before: int | None = Field(description="Give this as `before` for older edits; null where there are none.")


class UndoResponse(Body):
    """That an edit was taken back."""

    model_config = example(
        {"status": "success", "message": "Edit 'edit-2-92eb5ffe' was undone", "edit": {**_EDIT, "undone": True}}
    )

    status: Literal["success"] = "success"
    message: str
    edit: EditItem
