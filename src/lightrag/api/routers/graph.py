"""The graph for display."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from lightrag.api.dependencies import EngineDep, SettingsDep, documented_key
from lightrag.api.routers.responses import Responses, errors
from lightrag.api.schemas.graph import Graph
from lightrag.retrieval.graph_views import WHOLE_GRAPH
from lightrag.types import GraphView

router = APIRouter(tags=["graph"], dependencies=[documented_key], responses=errors(403, 413, 503))

_LABELS: Responses = {200: {"content": {"application/json": {"example": ["Acme", "Alice"]}}}}
Label = Annotated[str, Query(min_length=1, max_length=1024, examples=["Alice"])]


@router.get("/graphs", operation_id="get_graph")
async def get_graph(
    engine: EngineDep,
    settings: SettingsDep,
    label: Annotated[Label, Query(description="Name of an entity, or `*` for the whole graph by degree.")],
    max_depth: Annotated[int, Query(ge=0, le=100, description="Steps from the entity.")] = 3,
    max_nodes: Annotated[int, Query(ge=1, le=1_000_000, description="At most MAX_GRAPH_NODES.")] = 1000,
    min_degree: Annotated[int, Query(ge=0, le=1_000_000, description="Leave out entities with fewer relations.")] = 0,
    inclusive: Annotated[bool, Query(description="Begin at all entities whose name holds `label`.")] = False,
) -> Graph:
    """Return an entity's neighbourhood; an unknown entity gives an empty graph."""
    max_nodes = min(max_nodes, settings.query.max_graph_nodes)
    if inclusive and label.strip() not in ("", WHOLE_GRAPH):
        view = await engine.subgraph_of_matches(label, max_depth=max_depth, max_nodes=max_nodes)
    else:
        view = await engine.subgraph(label, max_depth=max_depth, max_nodes=max_nodes)
    if min_degree:
        degrees = await engine.degrees([entity.name for entity in view.entities])
        view = _with_degree(view, degrees, min_degree, label)
    return Graph.of(view)


@router.get("/graph/label/list", operation_id="list_labels", responses=_LABELS)
async def list_labels(engine: EngineDep) -> list[str]:
    """Return the names of all entities, sorted."""
    return await engine.labels()


@router.get("/graph/label/popular", operation_id="popular_labels", responses=_LABELS)
async def popular_labels(engine: EngineDep, limit: Annotated[int, Query(ge=1, le=1000)] = 300) -> list[str]:
    """Return the names of the entities with most relations."""
    return await engine.popular_labels(limit)


@router.get("/graph/label/search", operation_id="search_labels", responses=_LABELS)
async def search_labels(
    engine: EngineDep,
    q: Annotated[str, Query(max_length=1024, description="Part of a name, in any case.", examples=["ali"])],
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> list[str]:
    """Return the names that contain a text: equal ones first, then those that begin with it."""
    text = q.strip()
    return await engine.search_labels(text, limit) if text else []


def _with_degree(view: GraphView, degrees: dict[str, int], least: int, label: str) -> GraphView:
    kept = [entity for entity in view.entities if degrees.get(entity.name, 0) >= least or entity.name == label]
    names = {entity.name for entity in kept}
    relations = [item for item in view.relations if item.source in names and item.target in names]
    return GraphView(kept, relations, view.is_truncated)
