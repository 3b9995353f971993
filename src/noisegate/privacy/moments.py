"""Variances, standard deviations, covariances, correlations and regressions: counts, sums, and sums of products.

All are about the middle of the bounds, in steps of a grid, and exact where the noise vanishes: a second moment does not
change when its origin moves. Noisy second moments are cut at 0 and at what the bounds allow: no answer is negative, NaN
or beyond what values within their bounds can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.privacy.context import (
    Context,
    arguments,
    both,
    cut,
    filtered,
    numeric_argument,
    only_if,
    present,
    rows,
    written,
)
from noisegate.privacy.means import Pair, mean_pair
from noisegate.privacy.totals import Answer, Total
from noisegate.query.total import compile_expr
from noisegate.query.tree import Cast, Expr
from noisegate.query.values import INTS, Value, number

UNIT_MAX = 2**42  # of one unit's sum of products; coarser than the grid's square where it could be more
_SAMPLE = frozenset({"variance", "var_samp", "stddev", "stddev_samp", "covar_samp"})
_ROOT = frozenset({"stddev", "stddev_pop", "stddev_samp"})


@dataclass(frozen=True, slots=True)
class _Moment:
    """A sum of products about the middles of two axes, as SQL over {0}: in the product of their grid steps."""

    total: Total
    sql: str


def variance(c: Context) -> Answer:
    """var_pop, var_samp, variance, stddev_pop, stddev_samp, stddev of x: the sums of a mean, and a sum of squares."""
    (arg,) = arguments(c, 1)
    passes = present(c, compile_expr(arg, c.scope))
    axis = _axis(c, arg, passes)
    squares = _products(c, axis, axis, passes)
    n, s = axis.count(0), axis.sum(0)
    q = squares.sql.format("{2}")
    top = f"(({n}) * ({q}) - ({s}) * ({s})) * {number(axis.pair.grid.step**2)}"
    divisor = f"(({n}) * ({n} - 1))" if c.call.name in _SAMPLE else f"(({n}) * ({n}))"
    least = 1 if c.call.name in _SAMPLE else 0
    spread = f"(CASE WHEN {top} <= 0 THEN 0 ELSE LEAST({top} / {divisor}, {_most(axis, axis, c, n)}) END)"
    shown = f"pg_catalog.sqrt({spread})" if c.call.name in _ROOT else spread
    sql = f"(CASE WHEN ({n}) <= {least} THEN NULL ELSE {shown} END)::{c.plain_type}"
    return Answer((axis.pair.total, squares.total), sql, ("moment", axis.pair.grid.step**2), "about the middle")


def two(c: Context) -> Answer:
    """covar_pop, covar_samp, corr and regr_*: over the rows in which both arguments are not NULL."""
    y_arg, x_arg = arguments(c, 2)
    y_value, x_value = (compile_expr(_peel(c, a), c.scope) for a in (y_arg, x_arg))
    passes = both(present(c, y_value), present(c, x_value))
    if c.call.name == "regr_count":
        return Answer((rows(c, passes, "count of pairs"),), cut(c, "{0}"), ("sd", Fraction(1)))
    x, y = _axis(c, x_arg, passes), _axis(c, y_arg, passes)
    build = _Regression(c, x, y, passes)
    rule = _RULES.get(c.call.name)
    if rule is None:
        raise Unsupported(f"aggregate {c.call.name} over a private table is not supported", name=c.call.name)
    sql = rule(build)
    return Answer(
        tuple(build.totals), f"(CASE WHEN {build.n} <= 0 THEN NULL ELSE {sql} END)::{c.plain_type}",
        ("moment", Fraction(1)), "about the middles of both bounds",
    )  # fmt: skip


class _Regression:
    """Collects the totals that a two-argument aggregate reads, and spells what they mean.

    sxx, syy and sxy are sums about the means, in the values' own units: at least 0 (sxx, syy), and with sxy^2 at most
    sxx * syy (Cauchy-Schwarz), as for real values.
    """

    def __init__(self, c: Context, x: _Axis, y: _Axis, passes: str | None) -> None:
        self._c, self._x, self._y, self._passes = c, x, y, passes
        self.totals: list[Total] = []
        self._counter = x  # the axis whose sums give the count
        self.n = x.count(self._at(x))

    def _at(self, axis: _Axis) -> int:
        return self._place(axis.pair.total)

    def _place(self, total: Total) -> int:
        """Position of a total's first column."""
        at = 0
        for known in self.totals:
            if known.identity == total.identity:
                return at
            at += len(known.outer)
        self.totals.append(total)
        return at

    def mean(self, axis: _Axis) -> str:
        pair, at = axis.pair, self._at(axis)
        low, high = (pair.grid.show_sql(end) for end in (pair.low, pair.high))
        total = pair.sum.format(f"{{{at}}}", f"{{{at + 1}}}")
        count = axis.count(at)
        return f"LEAST(GREATEST({total} / NULLIF({count}, 0), {low}), {high})"

    def _moment(self, a: _Axis, b: _Axis) -> str:
        product = _products(self._c, a, b, self._passes)
        raw = product.sql.format(f"{{{self._place(product.total)}}}")
        sa, sb = a.sum(self._at(a)), b.sum(self._at(b))
        step = number(a.pair.grid.step * b.pair.grid.step)
        return f"((({raw}) - ({sa}) * ({sb}) / NULLIF({self.n}, 0)) * {step})"

    def square(self, axis: _Axis) -> str:
        return f"GREATEST({self._moment(axis, axis)}, 0)"

    @property
    def sxx(self) -> str:
        return self.square(self._x)

    @property
    def syy(self) -> str:
        return self.square(self._y)

    @property
    def sxy(self) -> str:
        limit = f"pg_catalog.sqrt({self.sxx} * {self.syy})"
        return f"LEAST(GREATEST({self._moment(self._x, self._y)}, -{limit}), {limit})"

    @property
    def covariance(self) -> str:
        half = _most(self._x, self._y, self._c, self.n)
        return f"LEAST(GREATEST({self._moment(self._x, self._y)} / %s, -{half}), {half})"

    @property
    def x(self) -> _Axis:
        return self._x

    @property
    def y(self) -> _Axis:
        return self._y

    def slope(self) -> str:
        return f"({self.sxy} / NULLIF({self.sxx}, 0))"


def _sample(r: _Regression) -> str:
    return f"(CASE WHEN {r.n} <= 1 THEN NULL ELSE {r.covariance % f'({r.n} - 1)'} END)"


def _corr(r: _Regression) -> str:
    under = f"NULLIF(pg_catalog.sqrt({r.sxx} * {r.syy}), 0)"
    return f"LEAST(GREATEST({r.sxy} / {under}, -1), 1)"


def _r2(r: _Regression) -> str:
    full = f"LEAST(GREATEST(({r.sxy}) * ({r.sxy}) / NULLIF({r.sxx} * {r.syy}, 0), 0), 1)"
    return f"(CASE WHEN {r.sxx} = 0 THEN NULL WHEN {r.syy} = 0 THEN 1 ELSE {full} END)"


_RULES = {
    "covar_pop": lambda r: r.covariance % r.n,
    "covar_samp": _sample,
    "corr": _corr,
    "regr_avgx": lambda r: r.mean(r.x),
    "regr_avgy": lambda r: r.mean(r.y),
    "regr_sxx": lambda r: r.sxx,
    "regr_syy": lambda r: r.syy,
    "regr_sxy": lambda r: r.sxy,
    "regr_slope": lambda r: r.slope(),
    "regr_intercept": lambda r: f"({r.mean(r.y)} - {r.mean(r.x)} * {r.slope()})",
    "regr_r2": _r2,
}


@dataclass(frozen=True, slots=True)
class _Axis:
    """One argument: the two sums of its mean, its value and its middle, in steps."""

    pair: Pair
    value: Value
    middle: int
    text: str

    def count(self, at: int) -> str:
        return self.pair.count.format(f"{{{at}}}", f"{{{at + 1}}}")

    def sum(self, at: int) -> str:
        """Sum about the middle, in steps."""
        shift = self.middle - self.pair.low
        n = self.count(at)
        return f"({{{at}}} - {shift} * {n})"

    @property
    def reach(self) -> int:
        """The largest distance of a value from the middle, in steps."""
        return max(self.pair.high - self.middle, self.middle - self.pair.low, 1)


def _peel(c: Context, arg: Expr) -> Expr:
    """What stands beneath a cast to double precision of an exact number: its own grid is exact."""
    if isinstance(arg, Cast) and arg.type == "double precision":
        inner = compile_expr(arg.arg, c.scope)
        if inner.type in INTS or (inner.type == "numeric" and inner.scale is not None):
            return _peel(c, arg.arg)
    return arg


def _axis(c: Context, arg: Expr, passes: str | None) -> _Axis:
    arg = _peel(c, arg)
    pair = mean_pair(c, arg, passes)
    assert pair is not None
    return _Axis(pair, numeric_argument(c, arg), (pair.low + pair.high) // 2, written(c, arg))


def _products(c: Context, a: _Axis, b: _Axis, passes: str | None) -> _Moment:
    """Sum of (x - middle)(y - middle) in steps of both grids, rounded to tens of them where it could be too large.

    Claim: one unit adds at most C*Hx*Hy, H the reach of each axis (rounded outwards). Because: a unit with c > C rows
    adds its sum times C/c, rounded; then an integer clamp.
    """
    cap = c.limits.rows
    step = 1
    while cap * (a.reach * b.reach // step + 1) > UNIT_MAX:
        step *= 10
    most = cap * (a.reach * b.reach // step + (step > 1))
    least = 0 if a is b else -most
    left, right = (x.pair.grid.row_sql(x.value, x.value.bound, x.middle) for x in (a, b))
    row = f"({left})::pg_catalog.int8 * ({right})::pg_catalog.int8"
    if step > 1:
        row = f"pg_catalog.round(({row})::pg_catalog.numeric / {step})"
    scaled = f"pg_catalog.round({{0}}::pg_catalog.numeric * {cap} / {{1}})"
    summed = f"CASE WHEN {{1}} > {cap} THEN {scaled} ELSE COALESCE({{0}}, 0) END"
    total = Total(
        ("products", row, passes or "", str(most)),
        f"{a.text if a is b else f'{a.text} times {b.text}'}: sum of {'squares' if a is b else 'products'} about the "
        f"middle, in steps of "
        f"{float(a.pair.grid.step * b.pair.grid.step * step):.6g}",
        (f"pg_catalog.sum({row}){filtered(passes)}", f"pg_catalog.count(*){filtered(passes)}"),
        (f"GREATEST(LEAST({summed}, {most}), {least})",),
        (only_if(passes, f"GREATEST(LEAST({row}, {most}), {least})"),),
        most,
        f"a unit's rows weigh as at most {cap}",
        spread=3 * c.limits.spread,  # squares of a value in the middle of its half are a quarter of the most
    )
    return _Moment(total, "{0}" if step == 1 else f"({{0}} * {step})")


def _most(a: _Axis, b: _Axis, c: Context, n: str) -> str:
    """The largest (co)variance of values within the bounds (Popoviciu): widths' product over 4; a sample's a little
    more."""
    limit = Fraction((a.pair.high - a.pair.low) * (b.pair.high - b.pair.low), 4) * a.pair.grid.step * b.pair.grid.step
    if c.call.name in _SAMPLE:
        return f"({number(limit)} * {n} / NULLIF({n} - 1, 0))"
    return number(limit)
