"""One percentile by rank beside the tree that answers any number of them, at the same price, from the same values.

Errors are mean absolute ones, in ranks and in percent of the quartiles' distance; in brackets the 95th percentile of
the ranks. One row per person, one group. A price includes the number of values; `both` chooses the values on both
sides of a median's place, at half the price each.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from noisegate.mechanisms.quantiles import Asked, Kind, quantiles
from noisegate.mechanisms.rank import ranked
from noisegate.mechanisms.ranking import leaf_width, leaves_of
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.shape import shape_for
from noisegate.mechanisms.tree import add_noise_to, estimate, exact_nodes
from noisegate.plan.measure import Rank

Ints = NDArray[np.int64]
Answers = list[list[float]]  # of each repetition, of each fraction
rng = np.random.default_rng(7)

SHAPES: dict[str, Callable[[int], NDArray[np.float64]]] = {
    "even": lambda n: rng.uniform(0, 1, n),
    "normal, 10 % wide": lambda n: rng.normal(0.5, 0.1, n),
    "lognormal, median at 1 %": lambda n: np.exp(rng.normal(math.log(0.01), 1, n)),
    "normal, 0.2 % wide": lambda n: rng.normal(0.3, 0.002, n),
}
ASKED: dict[str, tuple[float, ...]] = {"median": (0.5,), "9th decile": (0.9,), "quartiles": (0.25, 0.5, 0.75)}


def values(shape: str, people: int, steps: int) -> Ints:
    return np.clip((SHAPES[shape](people) * steps).astype(np.int64), 0, steps - 1)


def by_tree(found: Ints, steps: int, fractions: tuple[float, ...], price: Fraction, repeat: int) -> Answers:
    shape = shape_for(steps)
    counts = np.bincount(found // shape.width, minlength=shape.leaves)
    cells = [(g, int(leaf), int(counts[leaf])) for g in range(repeat) for leaf in np.flatnonzero(counts)]
    noisy = add_noise_to(exact_nodes(shape, cells, repeat), scale_for(shape.sensitivity(1, 1), price))
    asked = [Asked(Kind.CONT, f) for f in fractions]
    return [[float(b.steps) if b is not None else math.nan for b in row] for row in quantiles(estimate(noisy), asked)]


def by_rank(
    found: Ints, steps: int, fractions: tuple[float, ...], price: Fraction, repeat: int, between: bool
) -> Answers:
    width, columns = leaf_width(steps), []
    for fraction in fractions:
        rank = Rank(0, "", steps, 1, 1, fraction, between, price / len(fractions))
        counts = np.bincount(found // width, minlength=leaves_of(rank)).tolist()
        drawn = ranked(rank, [counts] * repeat)
        columns.append([np.mean(leaves) * width + (width - 1) / 2 if n > 0 else math.nan for n, *leaves in drawn])
    return [list(map(float, row)) for row in zip(*columns, strict=True)]


def errors(found: Ints, fractions: tuple[float, ...], answers: Answers) -> str:
    ordered, n = np.sort(found), len(found)
    wide = np.quantile(found, 0.75) - np.quantile(found, 0.25)
    ranks, off = [], []
    for row in answers:
        for fraction, x in zip(fractions, row, strict=True):
            low, high = (np.searchsorted(ordered, x, side) for side in ("left", "right"))
            ranks.append(n / 2 if math.isnan(x) else max(low - fraction * n, fraction * n - high, 0))
            off.append(1 if math.isnan(x) else abs(x - np.quantile(found, fraction)) / max(wide, 1))
    return f"{np.mean(ranks):.1f} [{np.quantile(ranks, 0.95):.0f}] {np.mean(off):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=40)
    repeat = parser.parse_args().repeat
    print("| people | epsilon | values | steps | asked | tree | rank | both |\n|---|---|---|---|---|---|---|---|")
    for people in (500, 10_000):
        for price in (Fraction(1, 10), Fraction(1)):
            for shape in SHAPES:
                for steps in (100, 4000, 50_001):
                    found = values(shape, people, steps)
                    for asked, fractions in ASKED.items():
                        tree = errors(found, fractions, by_tree(found, steps, fractions, price, repeat))
                        one, both = (
                            errors(found, fractions, by_rank(found, steps, fractions, price, repeat, between))
                            for between in (False, True)
                        )
                        line = (people, float(price), shape, steps, asked, tree, one, both)
                        print("| " + " | ".join(map(str, line)) + " |", flush=True)


if __name__ == "__main__":
    main()
