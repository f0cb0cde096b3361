"""Parts of the graph for people to look at: label lists, searches, neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence

from lightrag.storage.contracts import GraphStore
from lightrag.types import Entity, GraphView, Pair, Relation

WHOLE_GRAPH = "*"
CANDIDATES_PER_RESULT = 20
PAGE = 5000
"""Entities that are read at a time where all are wanted."""
NEIGHBOURS = 1000
"""Most neighbours of one node that a walk looks at, heaviest first."""


def label_score(label: str, text: str) -> float:
    """Score a match as LightRAG's clients expect: exact 1000, prefix 500, else shorter is better, word starts first."""
    low, wanted = label.casefold(), text.casefold()
    if low == wanted:
        return 1000.0
    if low.startswith(wanted):
        return 500.0
    starts_word = f" {wanted}" in low or f"_{wanted}" in low
    return 100.0 - len(label) + (50.0 if starts_word else 0.0)


async def search_labels(graph: GraphStore, text: str, limit: int) -> list[str]:
    """Return names that contain `text`, best first; none for a blank text."""
    wanted = text.strip()
    if not wanted:
        return []
    found = await graph.labels_containing(wanted, limit * CANDIDATES_PER_RESULT)
    return sorted(found, key=lambda label: (-label_score(label, wanted), label))[:limit]


async def all_labels(graph: GraphStore) -> list[str]:
    """Return all names, sorted."""
    labels: list[str] = []
    after = ""
    while rows := await graph.scan_entities(after=after, limit=PAGE):
        labels += [entity.name for entity in rows]
        after = rows[-1].name
    return sorted(labels)


async def subgraph(graph: GraphStore, label: str, *, max_depth: int, max_nodes: int) -> GraphView:
    """Return the neighbourhood of a node by breadth, better connected nodes first inside a level.

    `*` stands for the whole graph by degree. An unknown label gives an empty graph.
    """
    if label == WHOLE_GRAPH:
        names = await graph.popular_labels(max_nodes + 1)
        return await _view(graph, names[:max_nodes], truncated=len(names) > max_nodes)
    return await _around(graph, list(await graph.get_entities([label])), max_depth, max_nodes)


async def subgraph_of_matches(graph: GraphStore, text: str, *, max_depth: int, max_nodes: int) -> GraphView:
    """Return the neighbourhood of all nodes whose name holds a text, the best matches first."""
    return await _around(graph, await search_labels(graph, text, max_nodes + 1), max_depth, max_nodes)


async def _around(graph: GraphStore, starts: Sequence[str], max_depth: int, max_nodes: int) -> GraphView:
    if len(starts) > max_nodes:
        return await _view(graph, starts[:max_nodes], truncated=True)
    chosen: dict[str, None] = dict.fromkeys(starts)
    level: Sequence[str] = starts
    for _ in range(max_depth):
        neighbours = await graph.relations_of(level, NEIGHBOURS)
        fresh = {name for found in neighbours.values() for name, _ in found if name not in chosen}
        degrees = await graph.degrees(sorted(fresh))
        level = sorted(fresh, key=lambda name: (-degrees.get(name, 0), name))
        room = max_nodes - len(chosen)
        chosen.update(dict.fromkeys(level[:room]))
        if len(level) > room:
            return await _view(graph, list(chosen), truncated=True)
        if not level:
            break
    return await _view(graph, list(chosen), truncated=False)


async def _view(graph: GraphStore, names: Sequence[str], *, truncated: bool) -> GraphView:
    entities: dict[str, Entity] = await graph.get_entities(names)
    neighbours = await graph.relations_of(list(entities), NEIGHBOURS)
    pairs: set[Pair] = {
        (min(name, other), max(name, other))
        for name, found in neighbours.items()
        for other, _ in found
        if other in entities
    }
    relations: dict[Pair, Relation] = await graph.get_relations(sorted(pairs))
    return GraphView(
        [entities[name] for name in names if name in entities],
        [relations[pair] for pair in sorted(relations)],
        truncated,
    )
