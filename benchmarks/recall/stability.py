"""Whether the constants of the walk were fitted to the questions that they are measured on."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

from lightrag.retrieval.walk import WalkRules

RANGES: dict[str, tuple[float, ...]] = {
    "chunk_spread": (0.13, 0.16, 0.18, 0.2, 0.25),
    "relation_spread": (0.05, 0.1, 0.15, 0.2, 0.3),
    "lexical_share": (0.0, 0.1, 0.2, 0.3),
    "relation_mass": (0.3, 0.5, 0.7, 1.0, 1.5),
    "name_mass": (0.0, 0.03, 0.06, 0.1, 0.15),
    "own_share": (0.05, 0.1, 0.2, 0.3),
    "damping": (0.5, 0.6, 0.7, 0.8),
    "loner_weight": (0.02, 0.1, 0.3),
    "relation_share": (0.0, 0.1, 0.2, 0.35),
    "steps": (3, 4, 6, 8),
}
SPLITS = 400

Recalls = npt.NDArray[np.float64]
"""Shape (questions, depths), in percent."""


def draws(count: int) -> list[WalkRules]:
    """Return random choices of all constants at once."""
    dice = random.Random(20)
    return [
        dataclasses.replace(WalkRules(), **{name: dice.choice(values) for name, values in RANGES.items()})
        for _ in range(count)
    ]


async def report_stability(count: int, dense: Recalls, measure: Callable[[WalkRules], Awaitable[Recalls]]) -> None:
    """Print what random constants give, and what choosing them on half of the questions gives on the other half.

    Scores are means over recall@2, @5 and @10. Where choosing on one half gains nothing on the other, and the shipped
    constants are no better than a random draw by more than that, they are not fitted.
    """
    shipped = await measure(WalkRules())
    others = np.stack([await measure(rules) for rules in draws(count)])
    means = others.mean(axis=1)
    print(f"  {count} random draws of all constants; recall@2/5/10")
    for label, row in (
        ("shipped", shipped.mean(axis=0)),
        ("worst of each", means.min(axis=0)),
        ("5 % quantile", np.quantile(means, 0.05, axis=0)),
        ("median", np.median(means, axis=0)),
        ("dense", dense.mean(axis=0)),
    ):
        print(f"  {label:28}" + "".join(f"{value:7.1f}" for value in row[:3]))
    scores = others[:, :, :3].mean(axis=2)
    shuffler = np.random.default_rng(20)
    chosen, fixed, middle, base, wins = [], [], [], [], []
    for _ in range(SPLITS):
        order = shuffler.permutation(len(dense))
        train, test = order[: len(order) // 2], order[len(order) // 2 :]
        chosen.append(scores[scores[:, train].mean(axis=1).argmax(), test].mean())
        fixed.append(shipped[test, :3].mean())
        middle.append(np.median(scores[:, test].mean(axis=1)))
        base.append(dense[test, :3].mean())
        wins.append(fixed[-1] > base[-1])
    print(
        f"  {SPLITS} half-splits, other half: shipped {np.mean(fixed):.1f}, chosen on this half {np.mean(chosen):.1f},"
        f" median draw {np.mean(middle):.1f}, dense {np.mean(base):.1f}; shipped above dense in {np.mean(wins):.0%}"
    )
    gains = shipped - dense
    boots = np.stack([gains[shuffler.integers(0, len(gains), len(gains))].mean(axis=0) for _ in range(4000)])
    low, high = np.quantile(boots, (0.05, 0.95), axis=0)
    spans = ", ".join(f"{a:+.1f} to {b:+.1f}" for a, b in zip(low[:3], high[:3], strict=True))
    print(f"  gain over dense, 90 % interval by bootstrap over questions: {spans}")
