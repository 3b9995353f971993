"""Which results may be NULL where PostgreSQL would not have raised, and which have listed values (Value.null, finite).

Claim: where `null` is False and `finite` is set, every row that is within its columns' bounds, and for which the
original expression does not raise, takes one of the values. What the engine yields besides is dropped by the group key.
Checked by: tests/query/test_finite.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from noisegate.query.values import Value

# NULL only where an argument is.
_STRICT = frozenset(
    "= <> < > <= >= not + - * / % @ ^ abs round trunc floor ceil ceiling sign sqrt cbrt |/ ||/ ln log log10 exp power "
    "pow mod div extract date_part date_trunc timezone date_bin make_date age to_char width_bucket lower upper initcap "
    "length char_length character_length octet_length bit_length substr substring left right btrim ltrim rtrim || "
    "replace translate split_part position strpos starts_with ^@ reverse lpad rpad repeat ~~ !~~ ~~* !~~* ~ ~* !~ !~* "
    "regexp_replace regexp_like cardinality @> <@ && ? ?| ?& jsonb_typeof json_typeof isfinite".split()
)
_NEVER = frozenset({"is distinct from", "concat", "concat_ws", "num_nulls", "num_nonnulls"})
_ANY_ARGUMENT = frozenset({"coalesce", "greatest", "least"})  # NULL only where all arguments are

_LISTED = frozenset(
    "extract date_part date_trunc to_char width_bucket coalesce greatest least nullif + - * / % mod div floor ceil "
    "ceiling round trunc sign date".split()
)


def finished(name: str, args: Sequence[Value], value: Value) -> Value:
    """A row's result, with what its name and its arguments say of NULLs; listed values only from rows that list."""
    if name in _NEVER:
        null = False
    elif name in _STRICT:
        null = any(a.null for a in args)
    else:
        null = name not in _ANY_ARGUMENT or all(a.null for a in args)
    return replace(value, null=null, finite=value.finite if name in _LISTED else None)
