"""A short random walk over entities and chunks that starts at what is near the question.

The walk is personalised PageRank (Haveliwala 2002) cut off after a few steps, on the graph of entities and passages
that HippoRAG 2 (arXiv 2502.14802) proposed. What is ours is how it is seeded and read:

* Seeds are *softened* scores: of each candidate list the best hits, weighted by an exponential of their distance to
  the first, measured in the list's own spread. That needs no scale of the embedding model and no cut-off.
* A chunk's rank is what the walk brought to it from elsewhere plus a share of its own seed, so that passages which
  only resemble the question do not crowd out those that are connected to it.
* Entities that a single chunk mentions lead nowhere else and get little of a chunk's mass.

The figures behind the constants are in docs/retrieval.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lightrag.retrieval.arrays import NO_WEIGHT, FloatArray, GraphArrays


@dataclasses.dataclass(frozen=True, slots=True)
class WalkRules:
    """Constants of seeding and walking; all lie on a plateau, so that none needs tuning to a collection."""

    chunk_spread: float = 0.18
    """How far behind the first of its list, as a share of the list's spread, a chunk's weight is 1/e."""
    relation_spread: float = 0.1
    """As `chunk_spread`, for relations and entities."""
    lexical_share: float = 0.2
    """Weight of the lexical list of chunks against the dense one."""
    sparse_share: float = 0.2
    """As `lexical_share`, of the list by sparse weights, where there is one."""
    relation_mass: float = 0.5
    """Mass on the ends of relations (or on entities) near the question, against 1 on chunks."""
    name_mass: float = 0.06
    """Mass on entities that the question names."""

    damping: float = 0.6
    """Share of the mass that moves on at each step; the rest returns to the seeds."""
    steps: int = 4
    relation_share: float = 0.2
    """Share of an entity's mass that goes along relations; the rest goes to the chunks that mention it."""
    loner_weight: float = 0.1
    """Weight of an entity that one chunk mentions, against 1 of others, in what a chunk passes on."""
    own_share: float = 0.2
    """How much of a chunk's own seed counts in its rank."""

    @property
    def loner_return(self) -> float:
        """What of a seed comes back to a chunk whose entities no other chunk mentions, in the long run.

        Chunk and entities then only pass mass to and fro: x = (1 - d) s + d² x, and d² x arrives.
        """
        return self.damping**2 / (1 + self.damping)


@dataclasses.dataclass(frozen=True, slots=True)
class Transitions:
    """How mass leaves each node, for one state of the graph and one choice of chunks."""

    graph: GraphArrays
    allowed: FloatArray
    """Per chunk 1 where it takes part, else 0."""
    mentions: FloatArray
    """Per entity the number of allowed chunks that mention it."""
    entity_weight: FloatArray
    per_chunk: FloatArray
    """What a chunk multiplies its mass by before it is spread over its entities."""
    per_mention: FloatArray
    """What an entity multiplies its mass by before it is spread over its chunks."""
    per_relation: FloatArray
    """What an entity multiplies its mass by before it is spread over its neighbours."""


def transitions(graph: GraphArrays, rules: WalkRules, allowed: FloatArray | None = None) -> Transitions:
    """Prepare a walk. With `allowed` (1 or 0 per chunk) only these chunks and no relations take part.

    Relations are left out then because an edge may be known from a document that is not allowed.
    """
    shown = graph.shown if allowed is None else graph.shown * allowed
    mentions = graph.to_entities(shown)
    weight = np.where(mentions > 1, np.float32(1), np.float32(rules.loner_weight)) * (mentions > 0)
    weight = weight.astype(np.float32)
    strength = graph.to_neighbours(np.ones(graph.entity_count, np.float32))
    related = strength > NO_WEIGHT if allowed is None else np.zeros(graph.entity_count, bool)
    share = np.where(related, np.where(mentions > 0, rules.relation_share, 1.0), 0.0).astype(np.float32)
    return Transitions(
        graph=graph,
        allowed=shown,
        mentions=mentions,
        entity_weight=weight,
        per_chunk=_inverse(graph.to_chunks(weight)) * shown,
        per_mention=(1 - share) * _inverse(mentions),
        per_relation=share * _inverse(np.where(related, strength, 0).astype(np.float32)),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Walked:
    """Where the mass is after the walk."""

    entities: FloatArray
    arrived: FloatArray
    """Per chunk what came from elsewhere."""


def walk(ways: Transitions, entity_seeds: FloatArray, chunk_seeds: FloatArray, rules: WalkRules) -> Walked:
    """Walk from non-negative seeds, one per entity and one per chunk. The result is linear in the seeds."""
    graph = ways.graph
    entities, chunks = entity_seeds, chunk_seeds
    damping, restart = np.float32(rules.damping), np.float32(1 - rules.damping)
    arrived = np.zeros_like(chunks)
    has_relations = bool(ways.per_relation.any())
    for _ in range(rules.steps):
        arrived = damping * ways.allowed * graph.to_chunks(entities * ways.per_mention)
        moved = ways.entity_weight * graph.to_entities(chunks * ways.per_chunk)
        if has_relations:
            moved += graph.to_neighbours(entities * ways.per_relation)
        entities = restart * entity_seeds + damping * moved
        chunks = restart * chunk_seeds + arrived
    return Walked(entities, arrived)


def soften(scores: Sequence[float], spread: float) -> FloatArray:
    """Turn the scores of a list, best first, into weights that sum to 1.

    weight = exp(-(first - score) / (spread * (first - last))): invariant under scaling and shifting of the scores.
    """
    if not scores:
        return np.zeros(0, np.float32)
    values = np.asarray(scores, np.float64)
    gap = max(float(values[0] - values[-1]), 1e-9)
    weights = np.exp(-(values[0] - values) / (spread * gap))
    shares: FloatArray = (weights / weights.sum()).astype(np.float32)
    return shares


def _inverse(values: FloatArray) -> FloatArray:
    """Return 1 / value, and 0 for 0."""
    inverse: FloatArray = np.zeros_like(values)
    np.divide(1, values, out=inverse, where=values > 0)
    return inverse
