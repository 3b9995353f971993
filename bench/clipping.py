"""What clipping can reach on heavy-tailed events at epsilon 1: bias and Laplace noise at the best clip for the data.

No mechanism may choose so: the clip is taken from the exact data, for nothing. It says whether a target can be met at
all. Two forms: a clip T per person and group with K groups of each person, noise K*T; and one cap R on a person's total
over all groups, noise R. Simulated with numpy; 50,000 people, 20 rows each on average, 60 groups.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

PEOPLE, MEAN_ROWS, GROUPS, DRAWS = 50_000, 20, 60, 20
KEPT = (1, 2, 3, 5, 10, 20, 60)
CLIPS = 2.0 ** np.arange(24)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def totals(shape: float, away: float, rng: np.random.Generator) -> tuple[Integers, Integers, Floats]:
    """Person, group and sum of x of every pair that has rows; x is a product of two uniforms, up to 1,000."""
    quantile = (rng.permutation(PEOPLE) + 0.5) / PEOPLE
    rows = np.maximum(1, np.floor(MEAN_ROWS * (shape - 1) / shape * quantile ** (-1 / shape))).astype(int)
    person = np.repeat(np.arange(PEOPLE), rows)
    home = np.floor(GROUPS * rng.random(PEOPLE) ** 2).astype(int)
    elsewhere = np.floor(GROUPS * rng.random(len(person)) ** 2).astype(int)
    group = np.where(rng.random(len(person)) < away, elsewhere, home[person])
    x = np.floor(1000 * rng.random(len(person)) * rng.random(len(person)))
    pair, place = np.unique(person * GROUPS + group, return_inverse=True)
    return pair // GROUPS, pair % GROUPS, np.bincount(place, x)


def error(bounded: Floats, truth: Floats, noise: float, rng: np.random.Generator) -> float:
    """Median relative error over groups and draws, in percent."""
    seen = truth > 0
    draws = bounded + rng.laplace(0, noise, (DRAWS, GROUPS))
    return float(np.median(np.abs(draws - truth)[:, seen] / truth[seen]) * 100)


def best(shape: float, away: float, rng: np.random.Generator) -> tuple[float, float]:
    """The least error of either form."""
    person, group, value = totals(shape, away, rng)
    truth = np.bincount(group, value, GROUPS)
    order = np.lexsort((rng.random(len(person)), person))  # a person's groups in random order
    first = np.flatnonzero(np.r_[True, np.diff(person[order]) > 0])
    rank = np.empty(len(person), dtype=int)
    rank[order] = np.arange(len(person)) - np.repeat(first, np.diff(np.r_[first, len(person)]))
    per_group = [
        error(np.bincount(group[rank < k], np.minimum(value[rank < k], clip), GROUPS), truth, k * clip, rng)
        for k in KEPT
        for clip in CLIPS
    ]
    whole = np.maximum(np.bincount(person, value, PEOPLE), 1)[person]
    joint = [error(np.bincount(group, value * np.minimum(1, cap / whole), GROUPS), truth, cap, rng) for cap in CLIPS]
    return min(per_group), min(joint)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--shape", type=float, nargs="+", default=[1.1, 1.3, 1.5, 2.0], help="of the distribution")
    print("sums per group, median relative error in percent: clip per group, cap over all groups")
    for shape in arguments.parse_args().shape:
        for away, name in ((0.0, "home"), (0.2, "place")):
            per_group, joint = best(shape, away, np.random.default_rng(7))
            print(f"  shape {shape:g}  {name:6} {per_group:6.1f} {joint:6.1f}", flush=True)


if __name__ == "__main__":
    main()
