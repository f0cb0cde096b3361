"""Routes that change the graph by hand. Edits are allowed while documents are indexed, and hold for them too."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query

from lightrag.api.auth_principal import Principal
from lightrag.api.dependencies import EngineDep, PrincipalDep, documented_key
from lightrag.api.routers.responses import Responses, errors
from lightrag.api.schemas.graph_editing import (
    DeletionResponse,
    EditItem,
    EditList,
    EditResponse,
    EntityCreateRequest,
    EntityDeleteRequest,
    EntityEditResponse,
    EntityItem,
    EntityListRequest,
    EntityMergeRequest,
    EntityUpdateRequest,
    ExistsResponse,
    OperationSummary,
    RelationCreateRequest,
    RelationDeleteRequest,
    RelationUpdateRequest,
    UndoResponse,
)
from lightrag.errors import InvalidInput
from lightrag.indexing.graph_editor import Edited
from lightrag.retrieval.graph_info import entity_info, relation_info

router = APIRouter(tags=["graph"], dependencies=[documented_key], responses=errors(403, 413, 503))

_ENTITIES: Responses = {
    200: {
        "content": {
            "application/json": {
                "example": [
                    {
                        "entity_name": "Tesla",
                        "entity_type": "ORGANIZATION",
                        "description": "Car maker",
                        "source_id": "manual_creation",
                        "file_path": "manual_creation",
                        "created_at": 1767322800,
                        "degree": 1,
                    }
                ]
            }
        }
    }
}
Name = Annotated[str, Query(min_length=1, max_length=1024, examples=["Alice"])]


@router.get("/graph/entity/exists", operation_id="entity_exists")
async def entity_exists(engine: EngineDep, name: Name) -> ExistsResponse:
    """Tell whether there is an entity of this name."""
    return ExistsResponse(exists=await engine.entity_exists(name.strip()))


@router.post("/graph/entity/create", operation_id="create_entity", responses=errors(400))
async def create_entity(body: EntityCreateRequest, engine: EngineDep, who: PrincipalDep) -> EditResponse:
    """Make an entity. Documents that mention it later add to what is said of it."""
    description = body.entity_data.get("description")
    if isinstance(description, str) and not description.strip():
        raise InvalidInput("Entity description cannot be empty for create operation")
    edited = await engine.create_entity(body.entity_name, body.entity_data, author=author_of(who))
    return _entity_response(edited, "Entity '{}' created successfully")


@router.post("/graph/entity/edit", operation_id="edit_entity", responses=errors(400))
async def edit_entity(body: EntityUpdateRequest, engine: EngineDep, who: PrincipalDep) -> EntityEditResponse:
    """Change, rename or merge an entity. What is set here stands whatever documents say."""
    edited = await engine.edit_entity(
        body.entity_name,
        body.updated_data,
        allow_rename=body.allow_rename,
        allow_merge=body.allow_merge,
        author=author_of(who),
    )
    assert edited.entity is not None
    final = edited.entity.name
    message = f"Entity merged successfully into '{final}'" if edited.merged else "Entity updated successfully"
    return EntityEditResponse(
        message=message,
        data=entity_info(edited.entity, vector=True),
        edit_id=edited.edit.id if edited.edit else None,
        operation_summary=OperationSummary(
            merged=edited.merged,
            merge_status="success" if edited.merged else "not_attempted",
            target_entity=final if edited.merged else None,
            final_entity=final,
            renamed=edited.renamed,
        ),
    )


@router.post("/graph/entities/merge", operation_id="merge_entities", responses=errors(400))
async def merge_entities(body: EntityMergeRequest, engine: EngineDep, who: PrincipalDep) -> EditResponse:
    """Make several entities one. Their relations move to it, those between them vanish."""
    edited = await engine.merge_entities(body.entities_to_change, body.entity_to_change_into, author=author_of(who))
    return _entity_response(edited, f"Successfully merged {len(body.entities_to_change)} entities into '{{}}'")


@router.post("/graph/relation/create", operation_id="create_relation", responses=errors(400))
async def create_relation(body: RelationCreateRequest, engine: EngineDep, who: PrincipalDep) -> EditResponse:
    """Make a relation between two entities."""
    source, target = body.source_entity, body.target_entity
    edited = await engine.create_relation(source, target, body.relation_data, author=author_of(who))
    message = f"Relation created successfully between '{source}' and '{target}'"
    return _relation_response(edited, source, target, message)


@router.post("/graph/relation/edit", operation_id="edit_relation", responses=errors(400))
async def edit_relation(body: RelationUpdateRequest, engine: EngineDep, who: PrincipalDep) -> EditResponse:
    """Change a relation. What is set here stands whatever documents say."""
    source, target = body.source_id, body.target_id
    edited = await engine.edit_relation(source, target, body.updated_data, author=author_of(who))
    return _relation_response(edited, source, target, "Relation updated successfully")


@router.delete("/graph/entity/delete", operation_id="delete_entity", responses=errors(404))
@router.delete("/documents/delete_entity", operation_id="delete_entity_old", responses=errors(404))
async def delete_entity(body: EntityDeleteRequest, engine: EngineDep, who: PrincipalDep) -> DeletionResponse:
    """Take an entity and its relations out of the graph; documents do not bring it back."""
    edited = await engine.delete_entity(body.entity_name, author=author_of(who))
    name, count = body.entity_name.strip(), edited.lost_relations
    message = f"Entity '{name}' and its {count} relationships have been deleted."
    return DeletionResponse(message=message, edit_id=_id(edited))


@router.delete("/graph/relation/delete", operation_id="delete_relation", responses=errors(404))
@router.delete("/documents/delete_relation", operation_id="delete_relation_old", responses=errors(404))
async def delete_relation(body: RelationDeleteRequest, engine: EngineDep, who: PrincipalDep) -> DeletionResponse:
    """Take a relation out of the graph; documents do not bring it back."""
    edited = await engine.delete_relation(body.source_entity, body.target_entity, author=author_of(who))
    source, target = body.source_entity.strip(), body.target_entity.strip()
    message = f"Relation from '{source}' to '{target}' has been deleted."
    return DeletionResponse(message=message, edit_id=_id(edited))


@router.post("/graph/label/entities", operation_id="list_entities", responses=_ENTITIES)
async def list_entities(
    engine: EngineDep, body: Annotated[EntityListRequest | None, Body()] = None
) -> list[EntityItem]:
    """Return entities with their descriptions: those whose name holds a text, or those with most relations."""
    wanted = body or EntityListRequest.model_validate({})
    text = (wanted.label or "").strip()
    if text in ("", "*"):
        names = await engine.popular_labels(wanted.limit)
    else:
        names = await engine.search_labels(text, wanted.limit)
    entities, degrees = await engine.get_entities(names), await engine.degrees(names)
    return [EntityItem.of(entities[name], degrees.get(name, 0)) for name in names if name in entities]


@router.get("/graph/edits", operation_id="list_edits")
async def list_edits(
    engine: EngineDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="Only edits with a smaller number.")] = None,
) -> EditList:
    """Return what was changed by hand, the newest first."""
    edits = await engine.list_edits(limit=limit, before=before)
    more = edits[-1].number if edits and edits[-1].number > 1 else None
    return EditList(edits=[EditItem.of(edit) for edit in edits], next_before=more)


@router.post("/graph/edits/{edit_id}/undo", operation_id="undo_edit", responses=errors(404, 409))
async def undo_edit(
    edit_id: Annotated[str, Path(min_length=1, max_length=100, examples=["edit-2-92eb5ffe"])], engine: EngineDep
) -> UndoResponse:
    """Take an edit back. The graph becomes what the other edits and the documents make of it."""
    edited = await engine.undo_edit(edit_id)
    assert edited.edit is not None
    return UndoResponse(message=f"Edit '{edit_id}' was undone", edit=EditItem.of(edited.edit))


def author_of(who: Principal) -> str:
    """Return who is noted as the author of an edit; empty where nobody has to say who they are."""
    return "" if who.kind == "anonymous" else who.name


def _entity_response(edited: Edited, message: str) -> EditResponse:
    assert edited.entity is not None
    return EditResponse(
        message=message.format(edited.entity.name),
        data=entity_info(edited.entity, vector=True),
        edit_id=edited.edit.id if edited.edit else None,
    )


def _relation_response(edited: Edited, source: str, target: str, message: str) -> EditResponse:
    assert edited.relation is not None
    return EditResponse(
        message=message,
        data=relation_info(edited.relation, source.strip(), target.strip(), vector=True),
        edit_id=edited.edit.id if edited.edit else None,
    )


def _id(edited: Edited) -> str:
    assert edited.edit is not None
    return edited.edit.id
