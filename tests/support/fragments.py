"""Small fragment plans with receipts for them, for tests of the release gate and the engine."""

from __future__ import annotations

import itertools
from decimal import Decimal
from fractions import Fraction

from noisegate.mechanisms.scale import scale_for
from noisegate.mechanisms.threshold import delta_per_group, threshold
from noisegate.plan.measure import Charge, DeclaredGroups, FragmentPlan, GroupKey, Measurement, Selection
from noisegate.plan.trust import Confidential, Receipt

NO_NOISE = Fraction(10**9)
_receipts = itertools.count(1)


def measurement(*columns: str, epsilon: Fraction = NO_NOISE, per_group: int = 1, groups: int = 1) -> Measurement:
    return Measurement(columns, "test", per_group, groups, epsilon)


def fragment(
    measurements: tuple[Measurement, ...],
    groups: DeclaredGroups | Selection,
    *,
    keys: int = 0,
    sql: str = "",
    secrets: int = 0,
    tables: tuple[tuple[str, str, str], ...] = (),
    settings: tuple[tuple[str, str], ...] = (),
) -> FragmentPlan:
    """The result's columns are the measurements', in order; its keys are k0, k1 ..."""
    return FragmentPlan(
        sql=sql,
        secrets=secrets,
        tables=tables,
        keys=tuple(GroupKey(f"k{i}", f"k{i}", "text") for i in range(keys)),
        columns=tuple(column for m in measurements for column in m.columns),
        measurements=measurements,
        groups=groups,
        settings=settings,
    )


def selection(units: Measurement, k: int, delta: Decimal = Decimal("1e-6")) -> Selection:
    """Selection by the first measurement, as planning makes it."""
    scale = scale_for(units.sensitivity, units.epsilon)
    return Selection(0, k, delta, threshold(k, scale, delta_per_group(delta, units.groups)))


def receipt(*plans: FragmentPlan) -> Receipt:
    return Receipt(str(next(_receipts)), ("analyst",), Charge(Decimal(1), Decimal(0)), tuple(p.digest for p in plans))


def confidential(plan: FragmentPlan, rows: dict[tuple[str | None, ...], tuple[int, ...]]) -> Confidential:
    return Confidential(plan.digest, tuple(rows.items()))
