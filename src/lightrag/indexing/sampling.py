"""Which mentions stand for all of a name or pair, so that the choice rarely changes as mentions are added.

Evidence order (`lightrag.storage.evidence`) is a fixed pseudo-random order of a key's mentions, and whatever is chosen
is a function of the set of live mentions alone. Any such choice of k of n mentions that looks at their hashes only
changes with the n-th mention with probability k/n. Where mentions come in reading order it can do better: below a
bound that halves whenever the number of mentions doubles, the first k in reading order stay the first ones whatever
comes after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lightrag.storage.evidence import evidence_rank, pair_key
from lightrag.types import EntityMention, RelationMention

T = TypeVar("T", EntityMention, RelationMention)

_LOWEST = -(2**63)
_RANKS = 2**64


def width(limit: int) -> int:
    """Return how many mentions lie below the bound on average when it has just been halved.

    A third more than are chosen, so that hardly ever fewer are there.
    """
    return limit + limit // 3


def reach(limit: int) -> int:
    """Return how many mentions to read, in evidence order, so that nearly always all below the bound are among them.

    Between two halvings their number grows from `width` to twice that, give or take its root. Where they are more, the
    choice is made among the first ones; it is then as well defined, and changes a little more often.
    """
    return 2 * width(limit) + width(limit) // 2


def level_of(total: int, limit: int) -> int:
    """Return how many times the bound was halved for so many mentions."""
    return max((total // width(limit)).bit_length() - 1, 0)


def bound_of(total: int, limit: int) -> int:
    """Return the evidence rank from which on mentions are not looked at."""
    return _LOWEST + (_RANKS >> level_of(total, limit))


def below_bound(mentions: Sequence[T], total: int, limit: int) -> Sequence[T]:
    """Return those of `mentions`, in evidence order, that lie below the bound for `total` mentions."""
    if level_of(total, limit) == 0:
        return mentions
    bound, low, high = bound_of(total, limit), 0, len(mentions)
    while low < high:
        middle = (low + high) // 2
        if rank_of(mentions[middle]) < bound:
            low = middle + 1
        else:
            high = middle
    return mentions[:low]


def rank_of(mention: EntityMention | RelationMention) -> int:
    """Return the place of a mention in evidence order."""
    if isinstance(mention, EntityMention):
        return evidence_rank(mention.entity.name, mention.source.chunk_id)
    return evidence_rank(pair_key((mention.relation.source, mention.relation.target)), mention.source.chunk_id)
