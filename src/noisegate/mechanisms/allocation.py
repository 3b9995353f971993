"""How a price is divided over measurements. Pure: planning imports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from noisegate.errors import Internal

LEAST_SHARE = Fraction(1, 20)  # of an equal share


@dataclass(frozen=True, slots=True)
class Part:
    """A measurement that takes part. sensitivity: L1, in the integers' own unit.

    size: the public scale to which its noise is compared, in the same unit, e.g. what one unit adds at most, or a value
    that the policy calls typical times the units that a shown group has at least. Never read from data.
    fixed: takes exactly this share of the whole price, e.g. 1/10 for selection; then the size does not matter.
    """

    sensitivity: int
    size: Fraction
    fixed: Fraction | None = None


def allocate(price: Fraction, parts: Sequence[Part]) -> tuple[Fraction, ...]:
    """One price for each part, in order; they add up to exactly `price`.

    Claim: among all divisions, with the fixed shares taken, the largest ratio of a part's noise to its size is smallest
        (unless LEAST_SHARE binds: no part gets less than that of an equal share).
    Assumes: Laplace noise, whose standard deviation is proportional to sensitivity/price; sizes are public.
    Because: sensitivity/(price*size) is equal for all parts where prices are proportional to sensitivity/size; if one
        part got more, another would get less, and its ratio would be larger. With size = sensitivity it is the equal
        division. Sums of exact fractions are exact.
    Checked by: tests/mechanisms/test_allocation.py.
    Raises Internal for prices, sensitivities or sizes that are not positive, and fixed shares that leave nothing.
    """
    fixed = sum((part.fixed for part in parts if part.fixed is not None), Fraction(0))
    free = [part for part in parts if part.fixed is None]
    if price <= 0 or not parts or any(p.sensitivity < 1 or (p.fixed is None and p.size <= 0) for p in parts):
        raise Internal("a price cannot be divided so")
    if any(part.fixed is not None and part.fixed <= 0 for part in parts) or fixed > 1 or (free and fixed == 1):
        raise Internal("fixed shares of a price leave nothing for the others")
    rest = iter(_proportional(1 - fixed, [part.sensitivity / part.size for part in free]))
    shares = [next(rest) if part.fixed is None else part.fixed for part in parts]
    whole = sum(shares, Fraction(0))  # below 1 only if every share is fixed: the price is used up all the same
    return tuple(price * share / whole for share in shares)


def _proportional(whole: Fraction, weights: Sequence[Fraction]) -> list[Fraction]:
    """Shares proportional to weights, those below the least raised to it at the others' cost."""
    if not weights:
        return []
    least = LEAST_SHARE * whole / len(weights)
    raised: set[int] = set()
    while True:
        left = whole - least * len(raised)
        total = sum((w for i, w in enumerate(weights) if i not in raised), Fraction(0))
        shares = [least if i in raised else left * w / total for i, w in enumerate(weights)]
        low = {i for i, share in enumerate(shares) if share < least}
        if not low:
            return shares
        raised |= low
