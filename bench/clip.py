"""The private clipping point and R2T beside the best fixed clipping point, which nobody knows without looking.

Error of a sum (mean over its groups, clipping and noise together), divided by the error of the best power of two at the
whole price: 1 would be as good as knowing the data. In brackets the 95th percentile over repetitions. Totals are capped
at 2^24 grid steps, as a policy without `unit_total` would do.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from noisegate.mechanisms.clip import SHARE_GROUPED, SHARE_UNGROUPED, choose_clip, clip_limits

LIMITS = clip_limits(2**24)
rng = np.random.default_rng(11)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    units: int
    groups: int  # of the answer
    per_unit: int  # K
    epsilon: Fraction


def totals(kind: str, n: int) -> Floats:
    name, _, parameter = kind.partition(" ")
    match name:
        case "Pareto":
            drawn = 100 * (rng.pareto(float(parameter), n) + 1)
        case "lognormal":
            drawn = np.exp(rng.normal(6, float(parameter), n))
        case "uniform":
            drawn = rng.uniform(0, 2000, n)
        case _:
            drawn = np.full(n, 1000.0)
    return np.minimum(np.round(drawn), LIMITS[-1])


def clipped_sums(values: Floats, group: NDArray[np.intp], groups: int) -> Floats:
    """(clipping point x group)"""
    return np.array([np.bincount(group, np.minimum(values, limit), groups) for limit in LIMITS])


def expected_errors(sums: Floats, per_unit: int, epsilon: float) -> list[float]:
    errors = []
    for clipped, limit in zip(sums, LIMITS, strict=True):
        bias, noise = sums[-1] - clipped, per_unit * limit / epsilon
        errors.append(float(np.mean(bias + noise * np.exp(-bias / noise))))
    return errors


def race(sums: Floats, per_unit: int, epsilon: float, beta: float = 0.1) -> Floats:
    """R2T (Dong, Fang, Yi, Tao, Machanavajjhala 2022): every clipped sum gets a share of the price and a penalty that
    its noise exceeds with probability beta/points; the largest wins, and 0."""
    points = len(LIMITS)
    scales = points * per_unit * np.array(LIMITS, float)[:, None] / epsilon
    answers = sums + rng.laplace(0, 1, sums.shape) * scales - math.log(points / beta) * scales
    return np.maximum(answers.max(axis=0), 0.0)


def ratios(setting: Setting, kind: str, times: int) -> tuple[float, Floats, Floats]:
    """The best point's error relative to the mean sum, and the ratios of both ways."""
    k, epsilon = setting.per_unit, float(setting.epsilon)
    pairs = setting.units * k
    values = totals(kind, pairs)
    sizes = 1 / np.arange(1, setting.groups + 1)
    group = rng.choice(setting.groups, pairs, p=sizes / sizes.sum())
    sums = clipped_sums(values, group, setting.groups)
    best = min(expected_errors(sums, k, epsilon))
    share = SHARE_UNGROUPED if setting.groups == 1 else SHARE_GROUPED
    scale, price = k / float(setting.epsilon * share), setting.epsilon * (1 - share)
    errors = expected_errors(sums, k, float(price))
    counts = np.bincount(np.searchsorted(LIMITS, values), minlength=len(LIMITS))
    chosen, raced = [], []
    for _ in range(times):
        noisy = np.round(counts + rng.laplace(0, scale, len(LIMITS))).astype(int).tolist()
        at = choose_clip(noisy, LIMITS, scale, groups=k, rows=setting.groups, price=price)
        chosen.append(errors[at] / best)
        raced.append(float(np.mean(np.abs(race(sums, k, epsilon) - sums[-1]))) / best)
    return best / float(np.mean(sums[-1])), np.array(chosen), np.array(raced)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    times = parser.parse_args().times
    print("| units, groups, K, epsilon | totals | best fixed point | histogram | R2T |\n|---|---|---|---|---|")
    for units, groups, k in ((1000, 1, 1), (50_000, 1, 1), (50_000, 20, 3), (50_000, 200, 3)):
        for epsilon in (Fraction(1), Fraction(1, 10)):
            for kind in ("Pareto 1.1", "Pareto 1.5", "Pareto 2.5", "lognormal 1", "lognormal 2", "uniform", "constant"):
                error, chosen, raced = ratios(Setting(units, groups, k, epsilon), kind, times)
                cells = [f"{np.median(r):.2f} ({np.percentile(r, 95):.2f})" for r in (chosen, raced)]
                what = f"{units}, {groups}, {k}, {float(epsilon)}"
                print(f"| {what} | {kind} | {100 * error:.2f} % | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
