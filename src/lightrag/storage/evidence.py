"""The order in which the mentions of a key are looked at, shared by every storage family."""

from __future__ import annotations

from hashlib import blake2b

from lightrag.types import FIELD_SEPARATOR, Pair

MICRO = 1_000_000
"""Weights are summed as integers of this many parts, so that a sum does not depend on the order of its terms."""


def evidence_rank(key: str, chunk_id: str) -> int:
    """Return the place of a mention in evidence order: a signed 64-bit hash, smaller comes first.

    The first 8 bytes of BLAKE2b over both parts, little-endian. Families must agree on it, or moving a workspace from
    one to the other would change which mentions are sampled.
    """
    digest = blake2b(f"{key}\x1f{chunk_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def pair_key(pair: Pair) -> str:
    """Return the one-string key of a relation: both names joined by the field separator."""
    return f"{pair[0]}{FIELD_SEPARATOR}{pair[1]}"


def micro_units(weight: float) -> int:
    """Return a weight in millionths; raises `ValueError` or `OverflowError` for what is not a finite number."""
    return round(weight * MICRO)
