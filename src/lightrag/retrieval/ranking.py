"""Orders chunks, entities and relations for a question by walking the graph from its candidates."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lightrag.retrieval.arrays import FloatArray, GraphArrays
from lightrag.retrieval.candidates import DENSE, LEXICAL, SPARSE, Candidates
from lightrag.retrieval.fusion import chunk_weights, interleave, softened
from lightrag.retrieval.names import spelling, spellings_in
from lightrag.retrieval.walk import Transitions, Walked, WalkRules, walk
from lightrag.storage.contracts import Hit
from lightrag.storage.rows import pair_of_key
from lightrag.types import Keywords, ListRank, Mode, Pair, Relation

GRAPH = "graph"
"""Name of the list of chunks by what the walk brought to them."""

MOST_NAMED = 8
"""Entities that stand before all others because the question spells their names."""


@dataclasses.dataclass(frozen=True, slots=True)
class RankedKey:
    """A chunk's key with its score and the lists that hold it."""

    key: str
    score: float
    found_by: tuple[ListRank, ...]


class GraphRanking:
    """What the walk from one question's candidates says."""

    def __init__(
        self,
        ways: Transitions,
        candidates: Candidates,
        mode: Mode,
        question: str,
        keywords: Keywords,
        rules: WalkRules,
    ) -> None:
        graph = ways.graph
        self._ways = ways
        self._candidates = candidates
        self._named = _named(graph, question, keywords)
        self._seeds = chunk_weights(candidates.dense, candidates.lexical, rules, candidates.sparse)
        entity_seeds = _entity_seeds(ways, candidates, mode, self._named, rules)
        total = float(entity_seeds.sum()) + sum(self._seeds.values())
        scale = 1 / total if total else 0.0
        chunk_seeds = np.zeros(graph.chunk_count, np.float32)
        self._own: dict[str, float] = {}
        for key, weight in self._seeds.items():
            index = graph.chunk(key)
            if index is not None:
                chunk_seeds[index] = weight * scale
            # A chunk that is not in the graph (yet) ranks as one whose entities nobody else mentions.
            returning = 0.0 if index is not None else rules.loner_return
            self._own[key] = (rules.own_share + returning) * weight * scale
        self._walked: Walked = walk(ways, entity_seeds * np.float32(scale), chunk_seeds, rules)

    @property
    def entities(self) -> list[str]:
        """Names that the question spells, then those that were found for it; none where entities are not searched.

        A model may find a neighbour nearer than the very entity that is named, where names are numbers or codes.
        """
        found = [hit.key for hit in self._candidates.entities]
        named = [self._ways.graph.names[index] for index in self._named[:MOST_NAMED]] if found else []
        return list(dict.fromkeys([*named, *found]))

    def entity_order(self) -> list[str]:
        """Return the names that a question brings up: named or found themselves, or ends of found relations."""
        return interleave(self.entities, _ends(self._candidates.relations))

    def chunks(self, limit: int) -> list[RankedKey]:
        """Return the best chunks of all."""
        return self._ranked(self._ways.allowed, limit, self._own)

    def chunks_of(self, names: Iterable[str], relations: Iterable[Relation], limit: int) -> list[RankedKey]:
        """Return the best of the chunks that mention one of these entities or state one of these relations."""
        graph = self._ways.graph
        chosen = np.zeros(graph.entity_count, np.float32)
        chosen[[index for index in map(graph.entity, names) if index is not None]] = 1
        pool = graph.to_chunks(chosen)
        stated = {key for relation in relations for key in relation.chunk_ids}
        pool[[index for index in map(graph.chunk, stated) if index is not None]] = 1
        pool = (pool > 0) * self._ways.allowed
        return self._ranked(pool, limit, {key: own for key, own in self._own.items() if _holds(graph, pool, key)})

    def edges_of(self, names: Iterable[str], limit: int, visible: frozenset[Pair] | None) -> list[Pair]:
        """Return the edges on these entities along which most of the walk's mass goes."""
        graph = self._ways.graph
        chosen = [index for index in map(graph.entity, names) if index is not None]
        if not chosen:
            return []
        ends, others, weights = graph.edges_of(np.asarray(sorted(chosen), np.int64))
        mass = self._walked.entities
        leaving = mass if visible is not None else mass * self._ways.per_relation
        flow = (leaving[ends] + leaving[others]) * weights
        pairs: dict[Pair, None] = {}
        for place in np.argsort(-flow, kind="stable").tolist():
            one, other = graph.names[ends[place]], graph.names[others[place]]
            pair = (one, other) if one < other else (other, one)
            if visible is None or pair in visible:
                pairs[pair] = None
            if len(pairs) == limit:
                break
        return list(pairs)

    def _ranked(self, pool: FloatArray, limit: int, own: Mapping[str, float]) -> list[RankedKey]:
        graph = self._ways.graph
        arrived = self._walked.arrived * (pool > 0)
        reached = np.flatnonzero(arrived)
        if len(reached) > limit + len(own):
            reached = reached[np.argpartition(-arrived[reached], limit + len(own))[: limit + len(own)]]
        reached = reached[np.argsort(-arrived[reached], kind="stable")]
        graph_list = [Hit(graph.chunk_keys[index], float(arrived[index])) for index in reached.tolist()]
        scores = {hit.key: hit.score for hit in graph_list}
        for key, value in own.items():
            scores[key] = scores.get(key, 0.0) + value
        best = sorted(scores, key=lambda key: (-scores[key], key))[:limit]
        found = self._candidates
        found_by = ranks_by_list({DENSE: found.dense, LEXICAL: found.lexical, SPARSE: found.sparse, GRAPH: graph_list})
        return [RankedKey(key, scores[key], found_by(key)) for key in best]


def relation_order(edges: Sequence[Pair], candidates: Candidates) -> list[Pair]:
    """Return the relations that a question brings up: edges of found entities, or found themselves."""
    return interleave(
        edges,
        [pair_of_key(hit.key) for hit in candidates.relations],
    )


def ranks_by_list(lists: Mapping[str, Sequence[Hit]]) -> Callable[[str], tuple[ListRank, ...]]:
    """Return a function that tells in which lists a key stands."""
    places = {
        name: {hit.key: ListRank(name, rank, hit.score) for rank, hit in enumerate(hits, 1)}
        for name, hits in lists.items()
    }
    return lambda key: tuple(found[key] for found in places.values() if key in found)


def _ends(relations: Sequence[Hit]) -> list[str]:
    return list(dict.fromkeys(name for hit in relations for name in pair_of_key(hit.key)))


def _holds(graph: GraphArrays, pool: FloatArray, key: str) -> bool:
    index = graph.chunk(key)
    return index is not None and bool(pool[index] > 0)


def _entity_seeds(
    ways: Transitions, candidates: Candidates, mode: Mode, named: Sequence[int], rules: WalkRules
) -> FloatArray:
    """Weigh the entities from which the walk starts.

    Both ends of relations that were found, in `local` and `hybrid` the entities that were found, and entities that
    are named. Each is divided by the number of chunks that mention it: what stands everywhere says
    little about where the answer stands.
    """
    graph = ways.graph
    relations = candidates.relations
    entities = () if mode == "mix" else candidates.entities
    lists = [
        [
            (name, weight)
            for key, weight in softened(relations, rules.relation_spread).items()
            for name in pair_of_key(key)
        ],
        list(softened(entities, rules.relation_spread).items()),
    ]
    filled = [found for found in lists if found]
    seeds = np.zeros(graph.entity_count, np.float32)
    for found in filled:
        located = [(index, weight) for name, weight in found if (index := graph.entity(name)) is not None]
        seeds += _mass(ways, located, rules.relation_mass / len(filled))
    return seeds + _mass(ways, [(index, 1.0) for index in sorted(named)], rules.name_mass)


def _named(graph: GraphArrays, question: str, keywords: Keywords) -> list[int]:
    """Return the entities that a question names as they are spelled: keywords first, then runs of its words."""
    spellings = itertools.chain(map(spelling, keywords.low_level), spellings_in(question))
    return list(dict.fromkeys(index for key in spellings for index in graph.entities_named(key)))


def _mass(ways: Transitions, located: Sequence[tuple[int, float]], mass: float) -> FloatArray:
    """Spread `mass` over entities by weight per mention."""
    seeds = np.zeros(ways.graph.entity_count, np.float32)
    if not located:
        return seeds
    indices = np.asarray([index for index, _ in located], np.int64)
    np.add.at(seeds, indices, np.asarray([weight for _, weight in located], np.float32))
    seeds *= np.divide(1, ways.mentions, out=np.zeros_like(seeds), where=ways.mentions > 0)
    total = float(seeds.sum())
    return seeds * np.float32(mass / total) if total > 0 else seeds
