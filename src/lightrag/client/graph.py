"""The graph: looked at, edited by hand, edits undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightrag.client.decoding import many, plain
from lightrag.client.operations import AsyncPart, Part, SyncPart, endpoint
from lightrag.client.records import Deleted, Edited, EditPage, Entity, Graph, Undone
from lightrag.client.requests import Wish, given

Fields = Mapping[str, Any]
"""Of an entity: description, entity_type, source_id, file_path; of a relation: description, keywords, weight, …"""


class GraphCalls(Part):
    """Calls on the graph of a workspace."""

    @endpoint("GET", "/graphs", Graph.read)
    def get(
        self,
        label: str = "*",
        *,
        max_depth: int | None = None,
        max_nodes: int | None = None,
        min_degree: int | None = None,
        inclusive: bool | None = None,
    ) -> Wish:
        """Return an entity's neighbourhood, or with `*` the whole graph by degree; an unknown entity has none.

        `inclusive`: begin at all entities whose name holds `label`.
        """
        wanted = given(max_depth=max_depth, max_nodes=max_nodes, min_degree=min_degree, inclusive=inclusive)
        return Wish(params={"label": label, **wanted})

    @endpoint("GET", "/graph/label/list", many(str))
    def labels(self) -> Wish:
        """Return the names of all entities, sorted."""
        return Wish()

    @endpoint("GET", "/graph/label/popular", many(str))
    def popular(self, limit: int | None = None) -> Wish:
        """Return the names of the entities with most relations."""
        return Wish(params=given(limit=limit))

    @endpoint("GET", "/graph/label/search", many(str))
    def search(self, text: str, limit: int | None = None) -> Wish:
        """Return the names that contain a text: equal ones first, then those that begin with it."""
        return Wish(params={"q": text, **given(limit=limit)})

    @endpoint("POST", "/graph/label/entities", many(Entity.read), is_repeatable=True)
    def entities(self, label: str | None = None, limit: int | None = None) -> Wish:
        """Return entities with their descriptions: those whose name holds a text, or those with most relations."""
        return Wish(json=given(label=label, limit=limit))

    @endpoint("GET", "/graph/entity/exists", lambda data: bool(plain(data).get("exists")))
    def exists(self, name: str) -> Wish:
        """Tell whether there is an entity of this name."""
        return Wish(params={"name": name})

    @endpoint("POST", "/graph/entity/create", Edited.read)
    def create_entity(self, name: str, fields: Fields) -> Wish:
        """Make an entity. Documents that mention it later add to what is said of it."""
        return Wish(json={"entity_name": name, "entity_data": dict(fields)})

    @endpoint("POST", "/graph/entity/edit", Edited.read)
    def edit_entity(self, name: str, fields: Fields, *, allow_rename: bool = False, allow_merge: bool = False) -> Wish:
        """Change an entity; `entity_name` among the fields renames it, or merges it where that name is taken."""
        allowed = {"allow_rename": allow_rename, "allow_merge": allow_merge}
        return Wish(json={"entity_name": name, "updated_data": dict(fields), **allowed})

    @endpoint("POST", "/graph/entities/merge", Edited.read)
    def merge_entities(self, names: Sequence[str], into: str) -> Wish:
        """Make several entities one. Their relations move to it, those between them vanish."""
        return Wish(json={"entities_to_change": [*names], "entity_to_change_into": into})

    @endpoint("DELETE", "/graph/entity/delete", Deleted.read)
    def delete_entity(self, name: str) -> Wish:
        """Take an entity and its relations out of the graph; documents do not bring it back."""
        return Wish(json={"entity_name": name})

    @endpoint("POST", "/graph/relation/create", Edited.read)
    def create_relation(self, source: str, target: str, fields: Fields) -> Wish:
        """Make a relation between two entities."""
        return Wish(json={"source_entity": source, "target_entity": target, "relation_data": dict(fields)})

    @endpoint("POST", "/graph/relation/edit", Edited.read)
    def edit_relation(self, source: str, target: str, fields: Fields) -> Wish:
        """Change a relation. What is set here stands whatever documents say."""
        return Wish(json={"source_id": source, "target_id": target, "updated_data": dict(fields)})

    @endpoint("DELETE", "/graph/relation/delete", Deleted.read)
    def delete_relation(self, source: str, target: str) -> Wish:
        """Take a relation out of the graph; documents do not bring it back."""
        return Wish(json={"source_entity": source, "target_entity": target})

    @endpoint("GET", "/graph/edits", EditPage.read)
    def edits(self, limit: int | None = None, *, before: int | None = None) -> Wish:
        """Return what was changed by hand, the newest first; `before`: only edits with a smaller number."""
        return Wish(params=given(limit=limit, before=before))

    @endpoint("POST", "/graph/edits/{edit_id}/undo", Undone.read)
    def undo(self, edit_id: str) -> Wish:
        """Take an edit back. The graph becomes what the other edits and the documents make of it."""
        return Wish(path={"edit_id": edit_id})


class GraphOf(GraphCalls, SyncPart):
    """The graph of a workspace."""


class AsyncGraphOf(GraphCalls, AsyncPart):
    """The graph of a workspace."""
