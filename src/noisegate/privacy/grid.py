"""The integers that sums are made of: values on a grid that depends on the policy, the types and the text only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from noisegate.errors import Unsupported
from noisegate.query.interval import Interval
from noisegate.query.values import INTS, Value, number

# A unit's clamped total fits int4, and 2^31 units fit int8: the outer sums cannot overflow (docs/privacy.md, integers).
STEPS_MAX = 2**31 - 1
FLOAT_MAX = 10**300
STEPS_FINE = 10**6  # where neither type nor policy gives a grid, the range has about this many steps


@dataclass(frozen=True, slots=True)
class Grid:
    """Multiples of `step`, a decimal number; `digits` are its decimals. coarse: it was made coarser for wide bounds."""

    step: Fraction
    digits: int
    coarse: bool = False

    @property
    def text(self) -> str:
        return self.show(1) + (" (coarse, for wide bounds)" if self.coarse else "")

    def down(self, x: Fraction | None) -> int:
        """Bounds are rounded outwards to the grid."""
        assert x is not None
        return math.floor(x / self.step)

    def up(self, x: Fraction | None) -> int:
        assert x is not None
        return math.ceil(x / self.step)

    def show(self, steps: int) -> str:
        """A number of steps as a decimal, for people."""
        value = steps * self.step
        if value.denominator == 1:
            return str(value.numerator)
        return f"{float(value):.{self.digits}f}"

    def show_sql(self, steps: int) -> str:
        """A number of steps as a numeric literal."""
        return f"({number(steps * self.step)})::pg_catalog.numeric"

    def row_sql(self, value: Value, interval: Interval, origin: int = 0) -> str:
        """The row's value, clamped to `interval` and rounded to the grid, in steps from `origin`; NULL stays NULL, NaN
        becomes the upper end. Clamped before it is multiplied, so nothing overflows."""
        low, high = self.down(interval.lo), self.up(interval.hi)
        v = value.sql
        largest = max(abs(low), abs(high), abs(low - origin), abs(high - origin))
        kind = "int4" if largest < 2**31 - 1 else "int8" if largest < 2**62 else "numeric"
        lo, hi = self._bound(value, interval.lo, low), self._bound(value, interval.hi, high)
        inside = self._steps(value)
        return (
            f"((CASE WHEN {v} <= {lo} THEN {low} WHEN {v} >= {hi} THEN {high} "
            f"ELSE ({inside})::pg_catalog.{kind} END) - {origin})"
            if origin
            else f"(CASE WHEN {v} <= {lo} THEN {low} WHEN {v} >= {hi} THEN {high} "
            f"ELSE ({inside})::pg_catalog.{kind} END)"
        )

    def total_sql(self, value: Value, interval: Interval, low: int, high: int) -> str:
        """What one row that is not NULL adds where it is its unit's only row: its value in steps, cut to `interval` and
        then to [low, high]. Where steps are the value itself, one clamp does both.

        Claim: the result is within [low, high]. Because: an integer clamp comes last; for integers its ends are those
        of `interval`, themselves cut to [low, high]. Checked by: tests/privacy/test_neighbours.py.
        """
        if self.step == 1 and value.type in INTS:
            least, most = (min(max(end, low), high) for end in (self.down(interval.lo), self.up(interval.hi)))
            return f"GREATEST(LEAST({value.sql}, {most}), {least})"
        return f"COALESCE(GREATEST(LEAST({self.row_sql(value, interval)}, {high}), {low}), 0)"

    def _bound(self, value: Value, x: Fraction | None, steps: int) -> str:
        """A bound in the value's type. Exact types take the one that is rounded to the grid: 1/3 is no decimal."""
        assert x is not None
        if value.type in ("float4", "float8"):
            if abs(x) > FLOAT_MAX:
                raise Unsupported("the bounds of this expression are beyond double precision", hint="Bound it closer.")
            return f"'{float(x)!r}'::pg_catalog.float8"
        return number(steps * self.step)

    def _steps(self, value: Value) -> str:
        if self.step == 1 and value.type in INTS:
            return value.sql
        if value.type in INTS:
            return f"pg_catalog.round({value.sql} / {number(self.step)}::pg_catalog.numeric)"
        if value.type == "numeric":
            return (
                f"pg_catalog.round({value.sql} / {number(self.step)})"
                if self.step >= 1
                else (f"pg_catalog.round({value.sql} * {number(1 / self.step)})")
            )
        scale = 1 / self.step
        if scale.denominator == 1:
            return f"pg_catalog.round({value.sql} * '{scale.numerator}'::pg_catalog.float8)"
        # A tiny value over a large step would underflow, which raises: two steps are added, and taken away again.
        step = f"'{float(self.step)!r}'::pg_catalog.float8"
        return f"(pg_catalog.round(({value.sql} + '{float(2 * self.step)!r}'::pg_catalog.float8) / {step}) - 2)"


def choose_grid(value: Value, declared: Fraction | None, magnitude: Fraction, rows: int = 1) -> Grid:
    """The policy's grid; else the type's own decimals; else about a millionth of the value's range. Made coarser by
    tens until a unit's total of at most `magnitude`, rounded outwards in each of `rows` rows, fits STEPS_MAX.

    Claim: the grid is a function of policy, types and text. Because: nothing else is read.
    """
    if declared is not None:
        step = declared
    elif value.scale is not None:
        step = Fraction(1, 10**value.scale)
    else:
        step = Fraction(1)
        largest = min(magnitude, value.bound.magnitude) if value.bound.finite else magnitude
        largest = largest or step  # every value is 0
        while largest / step < STEPS_FINE:
            step /= 10
        while largest / step >= STEPS_FINE * 10:
            step *= 10
    if 4 * rows > STEPS_MAX:
        raise Unsupported("rows_per_group_max is too large for a mean")
    fine = step
    while magnitude / step + 2 * rows > STEPS_MAX:
        step *= 10
    return Grid(step, _digits(step), step > fine)


def _digits(step: Fraction) -> int:
    digits = 0
    while (step * 10**digits).denominator != 1:
        digits += 1
        if digits > 200:
            raise Unsupported("the grid of this expression is not a decimal number")
    return digits
