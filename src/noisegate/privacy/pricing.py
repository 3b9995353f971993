"""From analyses and a price to plans: shares, noise, selection thresholds. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_DOWN, Context, Decimal
from fractions import Fraction

from noisegate.errors import BadSetting, Unsupported
from noisegate.mechanisms.allocation import Part, allocate
from noisegate.mechanisms.clip import SHARE_GROUPED, SHARE_UNGROUPED
from noisegate.mechanisms.ranking import rank_scale
from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.shape import check_nodes
from noisegate.mechanisms.threshold import delta_per_group, threshold, weighted_threshold
from noisegate.plan.measure import (
    Charge,
    Choice,
    Chosen,
    Clip,
    DeclaredGroups,
    FragmentPlan,
    GroupKey,
    Largest,
    Levels,
    Measurement,
    NoisyColumn,
    NoisyTable,
    Other,
    Present,
    Quantiles,
    Rank,
    Selection,
    StatementPlan,
    Tree,
)
from noisegate.privacy.modes import asides_of, largest_sql
from noisegate.privacy.other import adds_up
from noisegate.privacy.planner import Analysis
from noisegate.privacy.totals import UNITS, WEIGHT, WEIGHTS, Answer, Leaves, Total

HIDING_SHARE = Fraction(1, 10)  # of a fragment's price, for a unit count that only hides declared groups
SELECTION_LEAST, SELECTION_MOST = Fraction(1, 20), Fraction(1, 4)  # the same, where it only selects groups
SELECTION_AIM = 300  # units: groups of this size shall be shown, if the most is enough for that
HIDE_BELOW = 1
OTHER_SHARE = Fraction(1, 10)  # of the price of each total, for the row of the groups that are not shown
BIAS_OF_MEANS = Fraction(1, 4)  # of what a cap cuts off: rows of people who differ from others by a part of the width
TREE_SPREAD = CHOICE_SPREAD = 4  # beside Total.spread


def price(analyses: Sequence[Analysis], epsilon: Decimal, delta: Decimal) -> tuple[StatementPlan, list[NoisyTable]]:
    """Split a statement's price over its fragments equally, and over a fragment's parts by public scales.

    Claim: the parts' epsilons sum to exactly `epsilon`, the fragments' deltas to at most `delta`; a statement that
    selects no group from data costs no delta. Because: exact fractions. Checked by: tests/privacy/test_price.py.
    """
    selecting = sum(a.selects for a in analyses)
    share = Fraction(epsilon) / sum(map(_questions, analyses))
    delta_each = _divide_down(delta, selecting) if selecting else Decimal(0)
    plans = tuple(_price_one(a, share * _questions(a), delta_each) for a in analyses)
    charge = Charge(epsilon, delta if selecting else Decimal(0))
    return StatementPlan(plans, charge), [
        table for a, plan in zip(analyses, plans, strict=True) if not a.aside for table in noisy_tables(a, plan)
    ]


def _questions(a: Analysis) -> Fraction:
    """How many shares of the price a fragment has: less than one where all that is asked is asked beside it, and its
    groups are known."""
    beside = bool(a.asides) and all(answer.aside is not None for answer in a.answers) and not a.selects
    return HIDING_SHARE if beside else Fraction(a.questions)


def _divide_down(x: Decimal, parts: int) -> Decimal:
    """24 digits, so that the sum over all fragments is exact in the 28 of Decimal's usual arithmetic."""
    return Context(prec=24, rounding=ROUND_DOWN).divide(x, Decimal(parts))


def _price_one(analysis: Analysis, epsilon: Fraction, delta: Decimal) -> FragmentPlan:
    a = _selecting(analysis, epsilon, delta)
    prices = allocate(epsilon, [*_total_parts(a, epsilon, delta), *(_leaves_part(a, one) for one in a.leaves)])
    read = _read_by_other(a)
    of_totals = [(total, names, paid) for (total, names), paid in zip(a.measured, prices, strict=False)]
    plain = [total for total, _ in a.measured if not total.caps]
    measurements = tuple(
        _measurement(a, total, names, _own(paid, total in read)) for total, names, paid in of_totals if not total.caps
    )
    groups: DeclaredGroups | Selection
    counted = WEIGHTS if a.weighed else UNITS
    units = plain.index(counted) if counted in plain else None
    if a.declared is None:
        assert units is not None
        groups = _selection(a, units, measurements[units], delta)
        if a.other is not None:
            which = tuple(i for i, total in enumerate(plain) if total in read)
            groups = replace(groups, other=Other(a.other, which, OTHER_SHARE / (1 - OTHER_SHARE)))
    else:
        groups = DeclaredGroups(a.declared, units if a.hide else None, HIDE_BELOW if a.hide else None)
    keys = tuple(
        GroupKey(f"k{i}", text, output.sql, output.collation)
        for i, (text, output) in enumerate(zip(a.fragment.key_texts, a.outputs, strict=False))
    )
    trees, choices, ranks = _histogram_parts(a, prices[len(a.measured) :])
    plan = FragmentPlan(
        a.sql,
        _secrets(a),
        a.tables,
        keys,
        tuple(n for total, names in zip(a.totals, a.columns, strict=True) if total.distinct is None for n in names),
        measurements,
        groups,
        a.settings,
        a.explain,
        a.more,
        tuple(_clip(a, total, names, paid) for total, names, paid in of_totals if total.caps),
        trees,
        choices,
        a.givens,
        _sums_of(a) if a.levels is not None else None,
        ranks,
        a.aside,
    )
    if isinstance(groups, DeclaredGroups):
        check_nodes(plan, len(groups.rows))
    return plan


def _selecting(a: Analysis, epsilon: Fraction, delta: Decimal) -> Analysis:
    """By weights or by the number of units: whichever shows smaller groups of units that are in the root of K groups.

    A weight is compared with whole units, so weights are worse where there is little noise. A function of the plan.
    """
    if not a.weighed or delta <= 0:
        return a
    most, k = a.bounds.groups, a.group_size_min
    noise = _log_of_share(most, delta) / float(epsilon * SELECTION_MOST)
    return replace(a, by_count=(k + noise) * math.sqrt(most) >= k + most * noise)


def _measurement(a: Analysis, total: Total, names: tuple[str, ...], paid: Fraction) -> Measurement:
    """In all groups together: weights, and what the policy caps; that in its own steps."""
    if total.joint is None or total.joint.cap is None:
        whole = WEIGHT if total == WEIGHTS else None
        return Measurement(names, total.what, total.per_group, a.bounds.groups, paid, _levels(a), whole)
    (fine,) = total.fine
    whole, most = total.joint.cap * total.cap_unit * fine, total.per_group * fine
    return Measurement(names, total.what, most, a.bounds.groups, paid, _levels(a), whole, fine)


def _read_by_other(a: Analysis) -> tuple[Total, ...]:
    """The totals that a row for the other groups has: those of answers that add up."""
    if a.other is None:
        return ()
    answers = [answer for answer in a.answers if adds_up(answer)]
    wanted = {t.identity for answer in answers for t in answer.totals}
    wanted |= {answer.null_by.identity for answer in answers if answer.null_by is not None}
    return tuple(t for t in a.totals if t.identity in wanted)


def _own(paid: Fraction, shared: bool) -> Fraction:
    """What is left of a price for the groups that are shown."""
    return paid * (1 - OTHER_SHARE) if shared else paid


def _levels(a: Analysis) -> int:
    return len(a.levels.sets) if a.levels is not None else 1


def _sums_of(a: Analysis) -> Levels:
    """The levels, with what is known of the released columns."""
    assert a.levels is not None
    named = {t.identity: (t, released_columns(t, names)) for t, names in zip(a.totals, a.columns, strict=True)}
    nulls = [(answer, named.get(answer.null_by.identity)) for answer in a.answers if answer.null_by is not None]
    parts = {
        column: count[1][0]
        for answer, count in nulls
        if count is not None
        for total in answer.totals
        for column in named[total.identity][1]
    }
    return replace(
        a.levels,
        counts=tuple(column for total, columns in named.values() if total.counts for column in columns),
        pairs=tuple((columns[0], columns[1], total.pair) for total, columns in named.values() if total.pair),
        parts=tuple(parts.items()),
    )


def _secrets(a: Analysis) -> int:
    """Secret 0 chooses groups and rows that enter a join, secret 1 among the values of one group."""
    texts = [a.sql, *(q.sql for q in a.more)]
    return next((n for n in (2, 1) if any(f"{{secret:{n - 1}}}" in sql for sql in texts)), 0)


def _total_parts(a: Analysis, epsilon: Fraction, delta: Decimal) -> list[Part]:
    """Sizes are what a unit is thought to add, as a share of the most that it may. A unit count that nobody asked for,
    and one that would get less and selects groups, gets what selecting or hiding needs."""
    asked = {t.identity for answer in a.answers for t in answer.totals}
    totals = [total for total, _ in a.measured]
    parts = [Part(s := a.bounds.groups * t.per_group, Fraction(s, t.spread)) for t in totals]
    counted = WEIGHTS if a.weighed else UNITS
    if len(parts) + len(a.leaves) == 1 or counted not in totals:
        return parts
    units = totals.index(counted)
    needed = _selection_share(a, epsilon, delta) if a.selects else HIDING_SHARE
    others = sum(t.spread for t in totals) - 1 + TREE_SPREAD * len(a.leaves)
    if counted.identity not in asked or (a.selects and Fraction(1, 1 + others) < needed):
        parts[units] = Part(parts[units].sensitivity, Fraction(1), needed)
    return parts


def _selection_share(a: Analysis, epsilon: Fraction, delta: Decimal) -> Fraction:
    """The share with which groups of SELECTION_AIM units pass: the threshold is about k + K/share * ln(K/delta).

    Of weights it is k + ln(K/delta)/share, and units are thought to be in the root of K groups.
    """
    if delta <= 0:
        return SELECTION_MOST
    most, k = a.bounds.groups, a.group_size_min
    aim, noise = (SELECTION_AIM / math.sqrt(most), 1) if a.weighed else (SELECTION_AIM, most)
    needed = noise * _log_of_share(most, delta) / max(aim - k, k)
    share = Fraction(round(needed / float(epsilon) * 1000), 1000)
    return min(max(share, SELECTION_LEAST), SELECTION_MOST)


def _log_of_share(groups: int, delta: Decimal) -> float:
    """ln(groups/delta), for any delta above 0: it may be below every float."""
    return math.log(groups) - float(delta.ln())


def _leaves_part(a: Analysis, one: Leaves) -> Part:
    sensitivity = a.bounds.groups * one.rows
    return Part(sensitivity, Fraction(sensitivity, TREE_SPREAD if one.steps else CHOICE_SPREAD))


def _clip(a: Analysis, total: Total, names: tuple[str, ...], paid: Fraction) -> Clip:
    """A part of its price finds the cap: more where there is one group only, which pays for it alone."""
    choice = paid * (SHARE_GROUPED if a.keys else SHARE_UNGROUPED)
    count = len(total.caps)
    columns = released_columns(total, names)
    width = len(columns)
    rest = _own(paid - choice, a.other is not None)
    sums = tuple(names[count + width * j : count + width * (j + 1)] for j in range(count))
    return Clip(
        columns,
        total.what,
        total.caps,
        names[:count],
        sums,
        a.bounds.groups,
        choice,
        rest,
        total.cap_unit,
        _levels(a),
        total.fine,
        _bias(a, total),
    )


def _bias(a: Analysis, total: Total) -> Fraction:
    """Of sums that only means are made of, a joint cap may cut more: it cuts both alike."""
    kinds = {answer.error[0] for answer in a.answers if total.identity in {t.identity for t in answer.totals}}
    return BIAS_OF_MEANS if total.fine and total.pair and kinds == {"mean"} else Fraction(1)


def released_columns(total: Total, names: tuple[str, ...]) -> tuple[str, ...]:
    """The noisy columns of a total, by the engine's columns."""
    if not total.caps:
        return names
    width = len(names) // len(total.caps) - 1
    return tuple(f"s{names[0][1:]}_{i}" for i in range(width))


def _histogram_parts(
    a: Analysis, prices: Sequence[Fraction]
) -> tuple[tuple[Tree, ...], tuple[Choice, ...], tuple[Rank, ...]]:
    trees: list[Tree] = []
    choices: list[Choice] = []
    ranks: list[Rank] = []
    first = len(a.more) - len(a.leaves)
    for i, (one, paid) in enumerate(zip(a.leaves, prices, strict=True)):
        if one.kind == "tree":
            trees.append(Tree(first + i, one.what, one.steps, one.rows, a.bounds.groups, paid))
        elif one.kind == "choice":
            choices.append(Choice(first + i, one.what, one.rows, a.bounds.groups, paid))
        else:
            ranks.append(_rank(first + i, one, a.bounds.groups, paid))
    return tuple(trees), tuple(choices), tuple(ranks)


def _rank(query: int, one: Leaves, groups: int, paid: Fraction) -> Rank:
    """percentile_cont lies between two values. Choosing both doubles the noise; taking one for the other is one rank
    off: so both are chosen where the noise is below one rank."""
    name, fraction = one.asked
    rank = Rank(query, one.what, one.steps, one.rows, groups, fraction, False, paid)
    return replace(rank, between=name == "percentile_cont" and rank_scale(rank) < 1)


def _selection(a: Analysis, index: int, measurement: Measurement, delta: Decimal) -> Selection:
    if delta <= 0:
        raise BadSetting(
            "groups read from data need a price in delta, and the policy gives none",
            hint="Group by a column whose domain the policy declares.",
        )
    scale = scale_for(measurement.sensitivity, measurement.epsilon)
    if a.weighed:
        units = next(names[0] for total, names in zip(a.totals, a.columns, strict=True) if total == UNITS)
        least = weighted_threshold(a.group_size_min, scale, delta, WEIGHT, measurement.groups)
        return Selection(index, a.group_size_min, delta, least, units=units, weight=WEIGHT)
    least = threshold(a.group_size_min, scale, delta_per_group(delta, measurement.groups))
    unused = next((names[0] for total, names in zip(a.totals, a.columns, strict=True) if total == WEIGHTS), "")
    return Selection(index, a.group_size_min, delta, least, unused=unused)


def _count_of(aside: Analysis) -> str:
    """The released column with the number of rows of each value."""
    (answer,) = aside.answers
    columns = zip(aside.totals, aside.columns, strict=True)
    return next(released_columns(t, names)[0] for t, names in columns if t.identity == answer.totals[0].identity)


def noisy_tables(a: Analysis, plan: FragmentPlan) -> list[NoisyTable]:
    """One noisy table, or one for each grouping set that is made consistent."""
    table = _noisy_table(a, plan)
    if a.levels is None:
        return [table]
    asked = a.levels.sets[: a.levels.asked]
    return [
        replace(table, keys=tuple(replace(table.keys[k], sql=f"k{i}") for i, k in enumerate(kept))) for kept in asked
    ]


def _noisy_table(a: Analysis, plan: FragmentPlan) -> NoisyTable:
    """How a release becomes the columns that the remainder reads."""
    if len(a.outputs) != len(a.keys) + len(a.answers):
        raise Unsupported("the private question could not be typed")
    where = {t.identity: released_columns(t, names) for t, names in zip(a.totals, a.columns, strict=True)}
    keys = tuple(
        NoisyColumn(f"k{i}", output.sql, output.collation) for i, output in enumerate(a.outputs[: len(a.keys)])
    )
    computed: list[Quantiles | Chosen | Present | Largest] = []
    aggregates = []
    for answer, output in zip(a.answers, a.outputs[len(a.keys) :], strict=True):
        if answer.computed is not None:
            sql = answer.recombine.format(f"q{len(computed)}")
            computed.append(_computed(a, answer))
            if answer.aside is not None:
                sql = largest_sql(sql, answer, output)
        else:
            sql = answer.recombine.format(*(name for total in answer.totals for name in where[total.identity]))
        if answer.null_by is not None and answer.null_by.identity in where:
            sql = f"(CASE WHEN {where[answer.null_by.identity][0]} <= 0 THEN NULL ELSE {sql} END)"
        if a.other is not None and not adds_up(answer):
            sql = f"(CASE WHEN other = 1 THEN NULL ELSE {sql} END)"
        aggregates.append(NoisyColumn(sql, output.sql, output.collation))
    return NoisyTable(keys, tuple(aggregates), tuple(computed), plan.released, a.other is not None)


def _computed(a: Analysis, answer: Answer) -> Quantiles | Chosen | Present | Largest:
    """With its place among the trees, the choices, or the asides."""
    assert answer.computed is not None
    if answer.aside is not None and isinstance(answer.computed, Largest):
        part = [one.identity for one in asides_of(a.answers)].index(answer.aside.identity)
        return replace(answer.computed, part=part, column=_count_of(a.asides[part]))
    assert answer.leaves is not None
    same = [one.identity for one in a.leaves if one.kind == answer.leaves.kind]
    return replace(answer.computed, part=same.index(answer.leaves.identity))
