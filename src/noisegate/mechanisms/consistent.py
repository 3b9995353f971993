"""Noisy totals at several grouping sets, made consistent: each is the sum of its parts. Pure post-processing (numpy).

The rows of a set are an array with one axis per key; the *leaves* are the array of all keys, and a set S of keys sees
the leaves summed over the other axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from noisegate.mechanisms.sets import Set, closed

Ints = NDArray[np.object_]  # of Python's own integers: no overflow
Reals = NDArray[np.float64]

ROUNDS = 200  # of the search for the nearest leaves that are not negative
NEAR = 0.02  # it ends where a step changes no leaf by more: they become whole numbers
STIFFNESS = 1.0  # of that search


@dataclass(frozen=True, slots=True)
class Estimate:
    """Leaves as `whole` + `rest`: at vanishing noise the rest is 0 and no bit of a large total is lost."""

    whole: Ints
    rest: Reals


def seen_by(leaves: NDArray, kept: Set) -> NDArray:  # type: ignore[type-arg]
    """What a set of keys sees: the leaves, summed over the other axes. The axes stay, of length 1."""
    seen: NDArray = leaves.sum(axis=tuple(i for i in range(leaves.ndim) if i not in kept), keepdims=True)  # type: ignore[type-arg]
    return seen


def least_squares(noisy: Mapping[Set, Ints], sizes: Sequence[int], *, positive: bool) -> Estimate:
    """The leaves that fit the noisy totals of all sets best. `noisy` holds the set of all keys.

    Claim: without `positive`, of all linear unbiased estimates these have the least variance; at vanishing noise they
        are the exact leaves. With it, the best fit among leaves that are not negative.
    Assumes: noise of one variance in all entries, drawn independently.
    Because: the normal equations are sum_S A_S' A_S x = sum_S A_S' y_S, where A_S' A_S is, axis by axis, the identity
        (keys in S) or the matrix of ones. These commute: on what varies with the keys in T and no others, A_S' A_S is
        0 unless T is inside S, and the number of leaves per row of S else (Xiao et al. 2023 call it the residual basis
        of marginals; on a tree it is the estimate of Hay et al. 2010). Sets of keys that lie in the same sets of the
        question share one divisor, so intersections of its sets are enough.
    Checked by: tests/mechanisms/test_consistent.py against dense least squares.
    """
    whole = noisy[tuple(range(len(sizes)))]
    left = {s: (y - seen_by(whole, s)).astype(np.float64) for s, y in noisy.items()}
    target = sum((np.broadcast_to(y, whole.shape) for y in left.values()), np.zeros(whole.shape))
    solve = _Solver(tuple(noisy), sizes)
    rest = solve(target, 0.0)
    if positive and not _is_chain(noisy):
        rest = _not_negative(solve, target, whole, rest)
    return Estimate(whole, rest)


class _Solver:
    def __init__(self, sets: Sequence[Set], sizes: Sequence[int]) -> None:
        leaves = {s: prod(n for i, n in enumerate(sizes) if i not in s) for s in sets}
        self._parts = [(c, float(sum(n for s, n in leaves.items() if set(c) <= set(s)))) for c in closed(sets)]

    def __call__(self, target: Reals, ridge: float) -> Reals:
        """x with (sum_S A_S' A_S + ridge) x = target."""
        found: dict[Set, Reals] = {}
        for part, _ in self._parts:
            means = seen_by(target, part) / (target.size / prod(target.shape[i] for i in part))
            below = (found[other] for other in found if set(other) <= set(part))
            found[part] = means - sum(below, np.zeros(()))
        return sum((found[part] / (weight + ridge) for part, weight in self._parts), np.zeros(target.shape))


def _not_negative(solve: _Solver, target: Reals, whole: Ints, start: Reals) -> Reals:
    """The best fit with whole + rest >= 0 that keeps the grand total, by the alternating direction method of
    multipliers (Boyd et al. 2011): a step of least squares, a cut, and the price of their difference."""
    total = max(int(whole.sum()) + float(start.sum()), 0.0) - float(whole.sum())
    low = -whole.astype(np.float64).reshape(1, -1)

    def cut_at_0(x: Reals) -> Reals:
        return nearest(low, x.reshape(1, -1), np.array([total]), np.True_, positive=True).reshape(x.shape)

    if (start.reshape(1, -1) >= low).all():
        return start
    cut, price = cut_at_0(start), np.zeros(start.shape)
    for _ in range(ROUNDS):
        before, x = cut, solve(target + STIFFNESS * (cut - price), STIFFNESS)
        cut = cut_at_0(x + price)
        price += x - cut
        if max(np.abs(x - cut).max(), np.abs(before - cut).max()) < NEAR:
            break
    return cut


def _is_chain(sets: Iterable[Set]) -> bool:
    ordered = sorted((set(s) for s in sets), key=len)
    return all(a <= b for a, b in pairwise(ordered))


# Whole numbers, from the top


def rounded(
    estimate: Estimate, sets: Iterable[Set], *, positive: bool = False, step: int = 1, where: Ints | None = None
) -> Ints:
    """Whole leaves near the estimate, in multiples of `step`; the grand total, then its parts, and so on along a chain
    of the sets, each family rounded (and with `positive` cut at 0) so that it adds up to what its parent became. Other
    totals are sums of the leaves. Groups whose total of `where` is not above 0 have 0.

    Claim: every total of any set is exactly the sum of its parts, and none is negative with `positive`.
    Because: a family adds up to its parent; the leaves say the rest. Checked by: tests/mechanisms/test_consistent.py.
    """
    sizes = estimate.whole.shape
    order, widths = _chain(sets, sizes)
    flat = estimate.whole.transpose(order).reshape(-1)
    whole, over = flat // step, (flat % step).astype(np.float64)
    rest = (over + estimate.rest.transpose(order).reshape(-1)) / step
    there = None if where is None else where.transpose(order).reshape(-1)
    parents, nodes = np.zeros(1, object), 1
    for level, width in enumerate((1, *widths)):
        nodes *= width
        ints, reals = (x.reshape(nodes, -1).sum(axis=1).reshape(-1, width) for x in (whole, rest))
        kept = np.True_ if there is None else (there.reshape(nodes, -1).sum(axis=1) > 0).reshape(-1, width)
        if level == 0:
            total = ints[:, 0] + np.floor(reals[:, 0] + 0.5).astype(np.int64).astype(object)
            parents = np.where(kept, np.maximum(total, 0) if positive else total, 0).reshape(-1)
        else:
            parents = _children(ints, reals, parents, np.broadcast_to(kept, ints.shape), positive).reshape(-1)
    leaves: Ints = (parents * step).reshape([sizes[i] for i in order]).transpose(np.argsort(order))
    return leaves


def _chain(sets: Iterable[Set], sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """An order of the keys along a chain of sets, and how many parts a total of each has in the next."""
    order: list[int] = []
    widths = []
    for one in [*sorted(sets, key=lambda s: (len(s), s)), tuple(range(len(sizes)))]:
        added = [i for i in one if i not in order]
        if added and set(order) <= set(one):
            order += added
            widths.append(prod(sizes[i] for i in added))
    return order, widths


def _children(whole: Ints, rest: Reals, parents: Ints, kept: NDArray[np.bool_], positive: bool) -> Ints:
    """Families (parents x children) as whole numbers that add up to their parents."""
    base: Ints = np.where(kept, whole, 0)
    missing = parents - base.sum(axis=1)
    low = -base.astype(np.float64)
    near = np.where(kept, nearest(low, rest, missing.astype(np.float64), kept, positive=positive), 0.0)
    floor = np.floor(near)
    found: Ints = base + np.vectorize(int, otypes=[object])(floor) if floor.size else base
    left = parents - found.sum(axis=1)
    order = np.argsort(np.where(kept, floor - near, 1.0), axis=1, kind="stable")  # the largest fractions first
    for row, n in enumerate(left):
        one_more = order[row, : max(0, min(n, int(kept[row].sum())))]
        found[row, one_more] += 1
        found[row, int(np.argmax(found[row]))] += n - len(one_more)  # 0, but for the last bit of a float
    return found


def nearest(low: Reals, rest: Reals, sums: Reals, kept: NDArray[np.bool_] | np.bool_, *, positive: bool) -> Reals:
    """The nearest rests with the given sums along the last axis, over the entries kept; with `positive`, among those
    that are at least `low` (projection onto a simplex, Michelot 1986)."""
    active = np.broadcast_to(kept, rest.shape).copy()
    result = rest
    while True:
        fixed = np.where(active, 0.0, np.where(kept, low, 0.0)).sum(axis=-1)
        count = np.maximum(active.sum(axis=-1), 1)
        shift = (np.where(active, rest, 0.0).sum(axis=-1) + fixed - sums) / count
        result = np.where(active, rest - shift[..., None], low)
        below = active & (result < low) if positive else np.zeros(1, bool)
        if not below.any():
            return result
        active &= ~below
