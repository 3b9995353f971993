"""Exact amounts of privacy budget: decimals that are added and compared without ever being rounded.

An amount is a multiple of QUANTUM below LIMIT, so that 10^36 of them still add exactly in CONTEXT; any operation that
would round raises instead.
"""

from __future__ import annotations

import decimal
from decimal import Decimal

from noisegate.errors import BadSetting
from noisegate.plan.measure import Charge

QUANTUM = Decimal("1e-40")
LIMIT = Decimal("1e24")
CONTEXT = decimal.Context(
    prec=100, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow, decimal.Underflow]
)


def plus(a: Decimal, b: Decimal) -> Decimal:
    return CONTEXT.add(a, b)


def minus(a: Decimal, b: Decimal) -> Decimal:
    return CONTEXT.subtract(a, b)


def text(amount: Decimal) -> str:
    """The one spelling of an amount on disk: plain digits, no exponent, no trailing zeros ('0.1', '0.000000001')."""
    if not amount:
        return "0"
    digits = format(amount, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def shown(amount: Decimal) -> str:
    """The same number for people: '0.1', '1e-9'."""
    if not amount or abs(amount) >= Decimal("0.0001"):
        return text(amount)
    return format(amount.normalize(CONTEXT), "e")


def shown_charge(charge: Charge, *, with_delta: bool = False) -> str:
    """'epsilon 0.1', or 'epsilon 0.1 and delta 1e-9' where there is a delta or the reader needs one."""
    delta = f" and delta {shown(charge.delta)}" if charge.delta or with_delta else ""
    return f"epsilon {shown(charge.epsilon)}{delta}"


def checked(amount: Decimal, what: str) -> Decimal:
    """`amount` as a multiple of QUANTUM, if it is one.

    Raises BadSetting for what is no decimal, not finite, negative, too large or too fine.
    """
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise BadSetting(f"{what} must be a finite decimal number")
    if amount.is_signed() and amount:
        raise BadSetting(f"{what} must not be negative")
    if amount >= LIMIT:
        raise BadSetting(f"{what} must be below {shown(LIMIT)}")
    try:
        return CONTEXT.quantize(amount, QUANTUM)
    except decimal.DecimalException:
        raise BadSetting(f"{what} must be a multiple of {shown(QUANTUM)}") from None


def checked_charge(charge: Charge) -> Charge:
    """A price that may be charged: epsilon above 0, delta from 0 to 1. Raises BadSetting."""
    checked(charge.epsilon, "a price's epsilon")
    if not charge.epsilon:
        raise BadSetting("a price's epsilon must be above 0")
    checked(charge.delta, "a price's delta")
    if charge.delta >= 1:
        raise BadSetting("a price's delta must be below 1")
    return charge
