"""The one text rendering of a plan: for EXPLAIN, the audit log and golden tests. It is made from the objects that run.

Secrets stand as placeholders. Nothing here depends on a private row.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from textwrap import wrap

from noisegate.mechanisms.scale import scale_for, standard_deviation
from noisegate.plan.measure import FragmentPlan, Measurement, Selection, StatementPlan
from noisegate.privacy.planner import Analysis
from noisegate.privacy.totals import Answer

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
        lines.append(
            f"  Groups appear with at least {plan.groups.group_size_min} units and a noisy count of at least "
            f"{plan.groups.threshold}"
        )
    elif plan.groups.hide_below is not None:
        lines.append(f"  Declared groups with a noisy unit count below {plan.groups.hide_below} are left out")
    for m, total in zip(plan.measurements, a.totals, strict=True):
        lines.append(f"  Measurement: {m.what}")
        lines.append(
            f"    {total.unit_rows}; sensitivity {m.sensitivity} ({m.groups} x {m.per_group}), "
            f"epsilon {show(m.epsilon)}, discrete Laplace of scale {noise_scale(m):.6g}"
        )
    for text, answer in zip(a.fragment.aggregate_texts, a.answers, strict=True):
        lines.append(f"  Expected error of {text}: {expected_error(answer, plan, a)}")
    lines.append("  Engine SQL:")
    return lines + wrap(plan.sql, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)


def noise_scale(m: Measurement) -> float:
    return scale_for(m.sensitivity, m.epsilon)


def expected_error(answer: Answer, plan: FragmentPlan, a: Analysis) -> str:
    """One standard deviation of the noise; of a mean, as a formula in the count."""
    kind, factor = answer.error
    where = {t.identity: i for i, t in enumerate(a.totals)}
    sd = standard_deviation(noise_scale(plan.measurements[where[answer.totals[0].identity]])) * float(factor)
    note = f"  ({answer.note})" if answer.note else ""
    if kind == "mean":
        return f"about {sd:.4g} / (number of values){note}"
    return f"{sd:.4g}{note}"


def show(x: Decimal | Fraction) -> str:
    """A price for people: short, never in exponent form unless tiny."""
    if isinstance(x, Fraction):
        return f"{float(x):.6g}"
    text = format(x.normalize(), "f") if x else "0"
    return text if len(text) <= 12 else f"{x:.6g}"
