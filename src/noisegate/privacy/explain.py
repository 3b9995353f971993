"""The one text rendering of a plan: for EXPLAIN, the audit log and golden tests. It is made from the objects that run.

Secrets stand as placeholders. Nothing here depends on a private row.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from noisegate.mechanisms.ranking import COUNT_SHARE, leaf_width, leaves_of, rank_scale
from noisegate.mechanisms.scale import scale_for, standard_deviation
from noisegate.mechanisms.shape import present_from, shape_for
from noisegate.plan.measure import FragmentPlan, Measurement, Other, Present, Rank, Selection, StatementPlan, Tree
from noisegate.privacy.planner import Analysis
from noisegate.privacy.totals import Answer, Total
from noisegate.privacy.wrapping import wrapped

WIDTH = 110  # of the lines that the engine's SQL is cut into, at blanks


def explain(plan: StatementPlan, analyses: Sequence[Analysis]) -> list[str]:
    """Lines of text: price, then each fragment with its bounds, measurements, errors and SQL."""
    lines = [f"Private statement  (price: epsilon {show(plan.price.epsilon)}, delta {show(plan.price.delta)})"]
    for i, (fragment, analysis) in enumerate(zip(plan.fragments, analyses, strict=True)):
        lines += ["  " + line for line in _fragment(i, fragment, analysis)]
    return lines


def _fragment(index: int, plan: FragmentPlan, a: Analysis) -> list[str]:
    lines = [f"Fragment {index + 1}  (epsilon {show(plan.epsilon)}, delta {show(plan.delta)})"]
    lines += ["  " + line for line in plan.explain]
    if plan.keys:
        lines.append("  Group key: " + ", ".join(k.sql for k in plan.keys))
    if isinstance(plan.groups, Selection):
        lines.append(f"  Groups appear with at least {plan.groups.group_size_min} units and {_threshold(plan.groups)}")
        lines += ["  " + line for line in _other(plan, plan.groups.other)]
    elif plan.groups.hide_below is not None:
        lines.append(f"  Declared groups with a noisy unit count below {plan.groups.hide_below} are left out")
    lines += ["  " + line for line in _parts(plan, a)]
    for text, answer in zip(a.fragment.aggregate_texts, a.answers, strict=True):
        lines.append(f"  Expected error of {text}: {expected_error(answer, plan, a)}")
    for n, sql in enumerate(filter(None, (plan.sql, *(q.sql for q in plan.more)))):
        lines.append("  Engine SQL:" if n == 0 else f"  Engine SQL of query {n + 1}, in the same snapshot:")
        lines += wrapped(sql, WIDTH, "    ")
    return lines


def _threshold(selection: Selection) -> str:
    if not selection.units:
        return f"a noisy count of at least {selection.threshold}"
    least = selection.threshold / selection.weight
    return f"a noisy weight of at least {least:.6g}, where each unit weighs 1 in all of its groups together"


def _other(plan: FragmentPlan, other: Other | None) -> list[str]:
    if other is None:
        return []
    key = ", ".join(text or "NULL" for text in other.key)
    vectors = [plan.measurements[i] for i in other.measurements]
    scales = [f"{m.what}: {scale_for(m.sensitivity, m.epsilon * other.ratio) / m.fine:.6g}" for m in vectors]
    scales += [f"{c.what}: {scale_for(c.per_cap, c.epsilon * other.ratio):.6g} per unit of clip" for c in plan.clips]
    share = float(other.ratio / (1 + other.ratio))
    return [
        f"One further row ({key}): totals of the groups that are not shown, {share:.0%} of the price of each total",
        "  a unit counts once for each of its groups; discrete Laplace of scale " + "; ".join(scales),
    ]


def _parts(plan: FragmentPlan, a: Analysis) -> list[str]:
    """What is measured, with its sensitivity, price and noise."""
    lines = []
    plain = iter(plan.measurements)
    clips = iter(plan.clips)
    for total in _measured(plan, a):
        lines.append(f"Measurement: {total.what}{_used(total, a)}")
        if total.caps:
            c = next(clips)
            lines.append(
                f"  clip chosen privately{', on all groups of a unit together' if c.fine else ''}, "
                f"{float(c.choice / (c.choice + c.epsilon)):.0%} of the price, at most "
                f"{c.caps[-1]}; epsilon {show(c.choice + c.epsilon)}, discrete Laplace of scale "
                f"{scale_for(c.per_cap, c.epsilon):.6g} per unit of clip{_at_levels(c.levels)}"
            )
            continue
        m = next(plain)
        lines.append(
            f"  {total.unit_rows}; sensitivity {m.sensitivity // m.fine} ({_bound(m)}{_at_levels(m.levels)}), "
            f"epsilon {show(m.epsilon)}, discrete Laplace of scale {noise_scale(m):.6g}"
        )
    lines += [line for t in plan.trees for line in _tree(t)]
    lines += [line for r in plan.ranks for line in _rank(r)]
    for choice in plan.choices:
        lines.append(f"Choice: {choice.what}, at most {choice.rows} of a unit per group")
        lines.append(f"  permute-and-flip over {plan.more[choice.query].leaves} values, epsilon {show(choice.epsilon)}")
    return lines


def _measured(plan: FragmentPlan, a: Analysis) -> list[Total]:
    kept_back = plan.groups.kept_back if isinstance(plan.groups, Selection) else frozenset()
    return [total for total, names in zip(a.totals, a.columns, strict=True) if not kept_back.intersection(names)]


def _bound(m: Measurement) -> str:
    return f"{m.groups} x {m.per_group}" if m.joint is None else f"in {m.groups} groups together"


def _at_levels(levels: int) -> str:
    return f" in {levels} levels" if levels > 1 else ""


def _used(total: Total, a: Analysis) -> str:
    """The saving: how many aggregates read the same numbers."""
    readers = sum(total.identity in {t.identity for t in answer.totals} for answer in a.answers)
    return f"  (for {readers} aggregates)" if readers > 1 else ""


def _tree(tree: Tree) -> list[str]:
    shape = shape_for(tree.steps)
    sensitivity = shape.sensitivity(tree.groups, tree.rows)
    return [
        f"Tree: {tree.what}, in {shape.leaves} leaves" + (f" of {shape.width} steps" if shape.width > 1 else ""),
        f"  at most {tree.rows} rows of a unit per group; sensitivity {sensitivity} ({tree.groups} x {tree.rows} in "
        f"{shape.levels} levels), epsilon {show(tree.epsilon)}, discrete Laplace of scale "
        f"{scale_for(sensitivity, tree.epsilon):.6g}",
    ]


def _rank(rank: Rank) -> list[str]:
    width = leaf_width(rank.steps)
    both = ", for the values on both sides of its place" if rank.between else ""
    return [
        f"Rank: {rank.what}, in {leaves_of(rank)} leaves" + (f" of {width} steps" if width > 1 else ""),
        f"  at most {rank.rows} rows of a unit per group ({rank.groups} x {rank.rows}); permute-and-flip{both}; "
        f"epsilon {show(rank.epsilon)}, {float(COUNT_SHARE):.0%} of it for the number of values",
    ]


def noise_scale(m: Measurement) -> float:
    return scale_for(m.sensitivity, m.epsilon) / m.fine


def expected_error(answer: Answer, plan: FragmentPlan, a: Analysis) -> str:
    """One standard deviation of the noise; of a mean, as a formula in the count."""
    kind, factor = answer.error
    note = f"  ({answer.note})" if answer.note else ""
    if answer.leaves is not None:
        return _histogram_error(answer, plan, a) + note
    if answer.aside is not None:
        return "as the counts of its values beside it; values that are not selected are missed" + note
    sd = standard_deviation(_scale_of(answer.totals[0], plan, a)) * float(factor)
    match kind:
        case "mean" if answer.totals[0].caps:
            return f"about {sd:.4g} per unit of clip / (number of values){note}"
        case "mean":
            return f"about {sd:.4g} / (number of values){note}"
        case "flag":
            return f"decided by counts of units with an error of {sd:.4g}{note}"
        case "moment":
            return f"of second order: its sums have errors of at least {sd:.4g} steps{note}"
        case _:
            return f"{sd:.4g}{' per unit of clip' if answer.totals[0].caps else ''}{note}{_at_most(a)}"


def _at_most(a: Analysis) -> str:
    return ", less where levels agree" if a.levels is not None else ""


def _scale_of(total: Total, plan: FragmentPlan, a: Analysis) -> float:
    if total.caps:
        capped = [t.identity for t in a.totals if t.caps]
        clip = plan.clips[capped.index(total.identity)]
        return scale_for(clip.per_cap, clip.epsilon)
    plain = [t.identity for t in _measured(plan, a) if not t.caps]
    return noise_scale(plan.measurements[plain.index(total.identity)])


def _histogram_error(answer: Answer, plan: FragmentPlan, a: Analysis) -> str:
    assert answer.leaves is not None
    same = [one.identity for one in a.leaves if one.kind == answer.leaves.kind]
    place = same.index(answer.leaves.identity)
    if answer.leaves.kind == "rank":
        return f"its rank is off by about {rank_scale(plan.ranks[place]):.4g} rows"
    if answer.leaves.kind == "choice":
        choice = plan.choices[place]
        return f"a count within about {scale_for(choice.rows * choice.groups, choice.epsilon):.4g} of the largest"
    tree = plan.trees[place]
    if isinstance(answer.computed, Present):
        return f"values that fewer than {present_from(tree)} units have may be missing"
    shape = shape_for(tree.steps)
    sd = standard_deviation(scale_for(shape.sensitivity(tree.groups, tree.rows), tree.epsilon))
    return f"its rank is off by about {sd * shape.levels**0.5:.4g} rows"


def show(x: Decimal | Fraction) -> str:
    """A price for people: short, never in exponent form unless tiny."""
    if isinstance(x, Fraction):
        return f"{float(x):.6g}"
    text = format(x.normalize(), "f") if x else "0"
    return text if len(text) <= 12 else f"{x:.6g}"
