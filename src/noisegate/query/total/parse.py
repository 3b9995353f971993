"""Text read as another type. A test comes first, and what it does not pass is NULL: PostgreSQL would raise.

Claim: each test passes only texts that the type's input function takes, with the same value under every DateStyle.
Because: the patterns name the digits, months and days; ends are far inside the types' own. They are written out, since
pg_input_is_valid is not in PostgreSQL 15. Checked by: tests/query/test_total.py, tests/query/test_functions.py.
"""

from __future__ import annotations

from noisegate.query.constants import quote_literal
from noisegate.query.values import Value

_SPACE = r"[ \t\n\r\f\v]*"
_INTEGER = r"[-+]?[0-9]{1,40}"
_NUMBER = r"[-+]?([0-9]{1,100}(\.[0-9]{0,100})?|\.[0-9]{1,100})([eE][-+]?[0-9]{1,2})?"
_YEAR = r"(?!0000)[0-9]{4}"
_DAYS_30 = r"(0[1-9]|[12][0-9]|30)"
_DATE = (
    rf"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-{_DAYS_30}|02-(0[1-9]|1[0-9]|2[0-8]))"
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)-02-29)"
)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_OFFSET = r"( ?(Z|[-+](0[0-9]|1[0-4])(:?[0-5][0-9])?))?"
_STAMP = rf"{_DATE}([ T]{_CLOCK}{_OFFSET})?"
_UUID = r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
_LONGEST = 300

_PATTERNS = {
    "int": _SPACE + _INTEGER + _SPACE, "numeric": _SPACE + _NUMBER + _SPACE, "float8": _SPACE + _NUMBER + _SPACE,
    "date": _SPACE + _STAMP + _SPACE, "timestamp": _SPACE + _STAMP + _SPACE, "timestamptz": _SPACE + _STAMP + _SPACE,
    "time": _SPACE + _CLOCK + _SPACE, "uuid": _UUID,
}  # fmt: skip
_TRUE = "t tr tru true y ye yes on 1".split()
_FALSE = "f fa fal fals false n no of off 0".split()


def _text(a: Value) -> str:
    """The text by bytes, where it is short enough to be one of these types, else NULL."""
    text = f'(({a.sql})::pg_catalog.text COLLATE pg_catalog."C")'
    return f"(CASE WHEN pg_catalog.octet_length({text}) <= {_LONGEST} THEN {text} END)"


def read(a: Value, kind: str) -> str:
    """The SQL of a text as `kind`: 'int' (a whole numeric), or the name of a type."""
    text = _text(a)
    if kind == "bool":
        word = f"pg_catalog.lower(pg_catalog.btrim({text}, {quote_literal(chr(32) + chr(9) + chr(10) + chr(13))}))"
        yes, no = (", ".join(f"'{w}'" for w in words) for words in (_TRUE, _FALSE))
        return f"(CASE WHEN {word} IN ({yes}) THEN true WHEN {word} IN ({no}) THEN false END)"
    target = "numeric" if kind == "int" else kind
    pattern = quote_literal(f"^{_PATTERNS[kind]}$")
    return f"(CASE WHEN {text} ~ {pattern} THEN ({text})::pg_catalog.{target} END)"
