"""Which of its own models a workspace uses, as its registry and its defaults say at one moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from lightrag.llm.contracts import Role
from lightrag.tenancy.contracts import Candidate, ModelRef, ModelType
from lightrag.tenancy.registry_records import Holdings
from lightrag.tenancy.resolution import CHAT_ROLES, TYPE_OF_ROLE, Choice, Offer, Origin, choose


class CandidateSource(Protocol):
    """Knows the models of workspaces; `lightrag.tenancy.registry.ModelRegistry` does."""

    async def holdings(self, workspace_id: str) -> Holdings:
        """Return the ways to reach a workspace's enabled models, and its defaults."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """The models for one role."""

    choice: Choice
    candidates: tuple[Candidate, ...]
    """In the order in which they are tried."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Which of its own models a workspace uses; equal plans are served by the same clients."""

    roles: Mapping[Role, Served]
    """Roles that the server's models serve are absent."""
    known: Mapping[ModelType, tuple[Candidate, ...]]
    """All ways to reach the models that can be used: a question may name another one than the defaults, and the data
    may be of another embedding model."""

    @property
    def embeddings(self) -> tuple[Candidate, ...]:
        """Those of embedding models."""
        return self.known.get(ModelType.EMBEDDING, ())

    def named(self, type: ModelType, ref: ModelRef) -> tuple[Candidate, ...]:
        """Return the ways to reach one model."""
        return tuple(candidate for candidate in self.known.get(type, ()) if candidate.ref == ref)

    def offer(self, type: ModelType, server: Sequence[ModelRef] = ()) -> Offer:
        """Return the models among which a question may choose, with those of the server."""
        found = self.known.get(type, ())
        return Offer(refs_of(found), server, {candidate.ref: candidate.upstream_name for candidate in found})


async def read_plan(source: CandidateSource, workspace_id: str) -> Plan:
    """Return what a workspace's registry and defaults come to. Raises `StorageError`."""
    return plan_of(await source.holdings(workspace_id))


def plan_of(holdings: Holdings) -> Plan:
    """Return what models and defaults come to."""
    # A weight of 0 takes a credential out of use.
    known = {
        wanted: tuple(candidate for candidate in holdings.candidates.get(wanted, ()) if candidate.weight > 0)
        for wanted in dict.fromkeys(TYPE_OF_ROLE.values())
    }
    roles: dict[Role, Served] = {}
    for role in (*CHAT_ROLES, Role.EMBED, Role.RERANK, Role.IMAGE2TEXT):
        found = known[TYPE_OF_ROLE[role]]
        choice = choose(role, holdings.defaults, Offer(refs_of(found)))
        if choice.origin is not Origin.SERVER:
            chain = [candidate for ref in choice.refs for candidate in found if candidate.ref == ref]
            if role is Role.EMBED:
                # Another embedding model makes other vectors: only ways to reach the same one stand in for each other.
                chain = [candidate for candidate in chain if candidate.upstream_name == chain[0].upstream_name]
            roles[role] = Served(choice, tuple(chain))
    return Plan(roles, known)


def refs_of(candidates: Sequence[Candidate]) -> list[ModelRef]:
    """Return the models of candidates, each once."""
    return list(dict.fromkeys(candidate.ref for candidate in candidates))


def recorded_name(candidate: Candidate) -> str:
    """Return how an embedding model is recorded in a workspace that was indexed with it."""
    return f"{candidate.dialect}/{candidate.upstream_name}"
