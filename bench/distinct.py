"""Distinct values: what is lost where at most V of a person's values count, chosen at random or by matching.

A matching gives each person up to V values that nobody else has got: people in a fixed order, each its first free ones.
It is what a bound of V can show at best, nearly. Values of Zipf popularity; shares of the true number.
"""

from __future__ import annotations

import numpy as np

rng = np.random.default_rng(5)


def people(count: int, rows: int, values: int, exponent: float) -> list[list[int]]:
    chance = np.arange(1, values + 1) ** -exponent
    drawn = rng.choice(values, (count, rows), p=chance / chance.sum())
    return [rng.permutation(np.unique(row)).tolist() for row in drawn]


def at_random(sets: list[list[int]], most: int) -> int:
    return len({x for one in sets for x in one[:most]})


def matched(sets: list[list[int]], most: int) -> int:
    taken: set[int] = set()
    for one in sets:
        taken.update([x for x in one if x not in taken][:most])
    return len(taken)


def main() -> None:
    print(
        "| people, values each | exponent | V | at random | matching | noise at epsilon 1 |\n|---|---|---|---|---|---|"
    )
    for count, rows in ((1_000, 30), (10_000, 30), (10_000, 5)):
        for exponent in (0.5, 1.0, 1.5):
            sets = people(count, rows, 20_000, exponent)
            true = len({x for one in sets for x in one})
            for most in (1, 5, 20):
                shares = (at_random(sets, most) / true, matched(sets, most) / true, 2**0.5 * most / true)
                cells = (f"{count:,}, {rows}", exponent, most, *(f"{share:.1%}" for share in shares))
                print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
