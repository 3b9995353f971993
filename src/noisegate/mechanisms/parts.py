"""The parts of a release besides plain measurements: clipped sums, trees, choices. Called by the release gate only.

Each comes after the groups were selected or declared, for the groups that are shown: the set of shown groups is
released itself, and given that set each part is a mechanism of its own on its groups' totals (adaptive composition).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from noisegate.errors import Internal
from noisegate.mechanisms.choice import choice_loss, choose
from noisegate.mechanisms.clip import choose_clip, in_steps
from noisegate.mechanisms.laplace import add_noise, loss
from noisegate.mechanisms.rank import Ranked, ranked, ranks_loss
from noisegate.mechanisms.ranking import leaves_of
from noisegate.mechanisms.scale import scale_for, standard_deviation
from noisegate.mechanisms.shape import check_nodes, shape_for
from noisegate.mechanisms.tree import add_noise_to, exact_nodes
from noisegate.plan.measure import Choice, Clip, FragmentPlan, Rank, Tree

Key = tuple[str | None, ...]
Totals = tuple[int, ...]
Histogram = tuple[tuple[Key, int, int], ...]


def check_parts(plan: FragmentPlan) -> None:
    """Raises Internal unless every part has a price and a bound, and reads a histogram of its own shape."""
    parts: list[Tree | Choice | Rank] = [*plan.trees, *plan.choices, *plan.ranks]
    if any(min(p.rows, p.groups) < 1 or p.epsilon <= 0 for p in parts):
        raise Internal("a part without sensitivity or price")
    for clip in plan.clips:
        rising = all(a < b for a, b in zip(clip.caps, clip.caps[1:], strict=False))
        if not clip.caps or clip.caps[0] < 1 or not rising or clip.groups < 1 or min(clip.choice, clip.epsilon) <= 0:
            raise Internal("a clip without caps or price")
        if not len(clip.caps) == len(clip.above) == len(clip.sums) or clip.unit < 1 or not clip.columns:
            raise Internal("a clip needs sums for each of its caps")
        if any(len(names) != len(clip.columns) for names in clip.sums):
            raise Internal("a clip needs all of its sums for each of its caps")
        if clip.fine and (len(clip.fine) != len(clip.caps) or min(clip.fine) < 1):
            raise Internal("a joint clip needs steps for each of its caps")
    queries = [part.query for part in parts]
    if sorted(queries) != [i for i, q in enumerate(plan.more) if q.leaves]:
        raise Internal("every histogram must be released, and once")
    if any(plan.more[t.query].leaves != shape_for(t.steps).leaves for t in plan.trees):
        raise Internal("a tree over another histogram than its own")
    if any(plan.more[r.query].leaves != leaves_of(r) for r in plan.ranks):
        raise Internal("a rank over another histogram than its own")


def parts_loss(plan: FragmentPlan) -> Fraction:
    """What the parts cost by OpenDP's maps. Raises Internal where one costs more than its price."""
    total = Fraction(0)
    for clip in plan.clips:
        total += _at_most(loss(clip.pairs, _histogram_scale(clip)), clip.choice)
        each = [loss(clip.sensitivity(j), sum_scale(clip, j)) for j in range(len(clip.caps))]
        total += max(_at_most(spent, clip.epsilon) for spent in each)  # whichever is chosen
    for tree in plan.trees:
        total += _at_most(loss(_tree_sensitivity(tree), _tree_scale(tree)), tree.epsilon)
    for choice in plan.choices:
        total += _at_most(choice_loss(choice.rows, choice.groups, _choice_scale(choice)), choice.epsilon)
    for rank in plan.ranks:
        total += _at_most(ranks_loss(rank), rank.epsilon)
    return total


def _at_most(spent: Fraction, price: Fraction) -> Fraction:
    if spent > price:
        raise Internal("a part of a release costs more than its price")
    return spent


def _histogram_scale(clip: Clip) -> float:
    return scale_for(clip.pairs, clip.choice)


def sum_scale(clip: Clip, chosen: int) -> float:
    """Of the noise of the sums cut at this cap, by its index, in their own steps."""
    return scale_for(clip.sensitivity(chosen), clip.epsilon)


def _tree_sensitivity(tree: Tree) -> int:
    return shape_for(tree.steps).sensitivity(tree.groups, tree.rows)


def _tree_scale(tree: Tree) -> float:
    return scale_for(_tree_sensitivity(tree), tree.epsilon)


def _choice_scale(choice: Choice) -> float:
    """The loss of `groups` choices adds up, and OpenDP's map rounds each up: a little room is left for that."""
    return scale_for(choice.rows * choice.groups, choice.epsilon * (1 - Fraction(1, 2**40)))


def clipped_sums(plan: FragmentPlan, rows: Sequence[Totals | None], chosen: Sequence[int]) -> list[Totals]:
    """For each shown group, the noisy clipped sums. `rows`: exact totals, None where the engine saw no row; `chosen`:
    each clip's cap, by index.

    Claim: each clip costs its two prices. Because: a unit is in the totals of at most K groups, and in one bucket of
    each: the histogram of all groups together has L1 sensitivity K. Given the cap T that was chosen from it, one unit
    changes the sums cut at T of K groups, each group's together by at most T. With joint caps it is once
    in the histogram, which is of all groups, shown or not: L1 1; and it changes the sums of whichever of its groups are
    shown together by at most T (docs/privacy.md, private clips).
    """
    found = [column for clip, cap in zip(plan.clips, chosen, strict=True) for column in _clipped(plan, clip, rows, cap)]
    return [tuple(column[i] for column in found) for i in range(len(rows))]


def _clipped(plan: FragmentPlan, clip: Clip, rows: Sequence[Totals | None], chosen: int) -> list[list[int]]:
    noise, fine = sum_scale(clip, chosen), clip.steps(chosen)
    return [in_steps(add_noise(_column(plan, name, rows), noise), fine) for name in clip.sums[chosen]]


def chosen_caps(plan: FragmentPlan, rows: Sequence[Totals | None], found: Sequence[Totals], released: int) -> list[int]:
    """Each clip's cap, by index, from a noisy histogram of all `rows` together; of joint clips, of all groups together,
    which each row that was `found` repeats. released: how many rows the answer has, which is public; none are chosen
    for none.

    Shown rows would not do for joint clips: noise may show a declared group without anybody beside hidden ones with
    people, and the first unit in it would bring all of these into the histogram.
    """
    if not released:
        return [0] * len(plan.clips)
    return [_chosen_cap(plan, clip, found if clip.fine else rows, released) for clip in plan.clips]


def _chosen_cap(plan: FragmentPlan, clip: Clip, rows: Sequence[Totals | None], released: int) -> int:
    columns = [_column(plan, name, rows) for name in clip.above]
    above = [max(n, default=0) if clip.fine else sum(n) for n in columns]
    buckets = [above[j] - (above[j + 1] if j + 1 < len(above) else 0) for j in range(len(above))]
    scale = _histogram_scale(clip)
    price = clip.epsilon / clip.levels
    noisy = add_noise(buckets, scale)
    return choose_clip(noisy, clip.caps, scale, groups=clip.pairs, rows=released, price=price, bias=clip.bias)


def _column(plan: FragmentPlan, name: str, rows: Sequence[Totals | None]) -> list[int]:
    position = plan.exact.index(name)
    return [row[position] if row is not None else 0 for row in rows]


def histograms(
    plan: FragmentPlan, leaves: Sequence[Histogram], shown: Sequence[Key]
) -> tuple[tuple[tuple[tuple[int, ...], ...], ...], tuple[tuple[int, ...], ...], tuple[tuple[Ranked, ...], ...]]:
    """The noisy nodes of each tree, the leaf of each choice, and what each rank is, for each shown group. Raises
    TooComplex for too many groups: how many are shown is released."""
    check_nodes(plan, len(shown))
    queries = [i for i, q in enumerate(plan.more) if q.leaves]
    if len(leaves) != len(queries):
        raise Internal("the totals do not have the shape of their plan")
    by_query = dict(zip(queries, leaves, strict=True))
    place = {key: i for i, key in enumerate(shown)}
    trees = tuple(_nodes(tree, _cells(by_query[tree.query], place), len(shown)) for tree in plan.trees)
    choices = tuple(
        _choices(choice, plan.more[choice.query].leaves, _cells(by_query[choice.query], place), len(shown))
        for choice in plan.choices
    )
    ranks = tuple(
        ranked(rank, _counts(plan.more[rank.query].leaves, _cells(by_query[rank.query], place), len(shown)))
        for rank in plan.ranks
    )
    return trees, choices, ranks


def _cells(histogram: Histogram, place: dict[Key, int]) -> list[tuple[int, int, int]]:
    return [(place[key], leaf, count) for key, leaf, count in histogram if key in place]


def _nodes(tree: Tree, cells: Sequence[tuple[int, int, int]], groups: int) -> tuple[tuple[int, ...], ...]:
    if not groups:
        return ()
    noisy = add_noise_to(exact_nodes(shape_for(tree.steps), cells, groups), _tree_scale(tree))
    levels = [level.tolist() for level in noisy.levels]
    return tuple(tuple(node for level in levels for node in level[group]) for group in range(groups))


def _choices(choice: Choice, size: int, cells: Sequence[tuple[int, int, int]], groups: int) -> tuple[int, ...]:
    return tuple(choose(_counts(size, cells, groups), _choice_scale(choice)))


def _counts(size: int, cells: Sequence[tuple[int, int, int]], groups: int) -> list[list[int]]:
    counts = [[0] * size for _ in range(groups)]
    for group, leaf, count in cells:
        counts[group][leaf] += count
    return counts


def tree_deviation(tree: Tree) -> float:
    """Standard deviation of the noise of each node."""
    return standard_deviation(_tree_scale(tree))
