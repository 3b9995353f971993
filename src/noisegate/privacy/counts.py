"""Counts of rows and of units, and the booleans that a count decides."""

from __future__ import annotations

from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.privacy.context import Context, arguments, both, cut, present, rows, units_with
from noisegate.privacy.means import mean_pair
from noisegate.privacy.totals import UNITS, Answer
from noisegate.query.total import compile_expr
from noisegate.query.values import NUMBERS, Value

ONE_SD = ("sd", Fraction(1))


def count(c: Context) -> Answer:
    """count(*), count(x): claims of `rows`."""
    if c.call.star or not c.call.args:
        return Answer((rows(c, c.condition, "count(*)"),), cut(c, "{0}"), ONE_SD)
    (arg,) = arguments(c, 1)
    value = compile_expr(arg, c.scope)
    passes = present(c, value)
    total = rows(c, passes, "count of values" if passes else "count(*)")
    shareable = value.type in NUMBERS and value.bound.finite
    return Answer((total,), cut(c, "{0}"), ONE_SD, instead=_from_pair(c) if shareable else None)


def _from_pair(c: Context) -> Answer | None:
    """The count from the two sums of a mean, where that is measured anyway: it saves a measurement."""
    pair = mean_pair(c)
    if pair is None:
        return None
    steps = pair.high - pair.low
    return Answer(
        (pair.total,),
        cut(c, f"pg_catalog.round({pair.count})"),
        ("sd", Fraction(3, 2 * steps)),
        "from the sums of the mean",
    )


def count_units(c: Context, value: Value) -> Answer:
    """count(DISTINCT unit): each unit counts once, if it has a row in which no outer join put NULL in its place."""
    passes = present(c, value)
    total = UNITS if passes is None else units_with(passes)
    return Answer((total,), cut(c, "{0}"), ONE_SD, of_units=True)


def flags(c: Context) -> Answer:
    """bool_and, every, bool_or: noisy counts of the units that have a false value, and of those that have a true one.

    Claim: one unit adds 0 or 1 to each count. Without noise the answer is PostgreSQL's: bool_or is true iff somebody
    has a true value, false iff nobody has and somebody has a false one, else NULL; bool_and the same with false and
    true exchanged. Because: an aggregate over rows has a row with the value iff some unit has one.
    """
    (arg,) = arguments(c, 1)
    value = compile_expr(arg, c.scope)
    if value.type != "bool":
        raise Unsupported(f"{c.call.name} takes a boolean", name=c.call.name)
    true = units_with(both(c.condition, value.sql) or "", "units with a true value")
    false = units_with(both(c.condition, f"(NOT {value.sql})") or "", "units with a false value")
    if c.call.name == "bool_or":
        decided = "(CASE WHEN {0} >= 1 THEN true WHEN {1} >= 1 THEN false END)"
        return Answer((true, false), decided, ("flag", Fraction(1)), "true where the noisy count of true is 1 or more")
    decided = "(CASE WHEN {0} >= 1 THEN false WHEN {1} >= 1 THEN true END)"
    return Answer((false, true), decided, ("flag", Fraction(1)), "false where the noisy count of false is 1 or more")
