"""What a session's settings say to the gate: how its texts are to be read, and at what price.

Settings are read from the session's own clean-room connection at every execution, by a query that cannot raise; a
setting is judged when it is set (`check_setting`) and again when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from noisegate.errors import BadSetting, Internal, NoisegateError, Unsupported
from noisegate.plan.reading import ReadSettings
from noisegate.policy.model import Price
from noisegate.query.lexer import Kind, Token, tokenize
from noisegate.query.statements import SETTINGS, Sketch, setting_change
from noisegate.wire.gate import Hidden

EPSILON_MIN = Decimal("1e-6")

# One row of text; cannot raise. The last column lists the session's temporary relations.
SETTINGS_SQL = """
SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('DateStyle'),
  pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('TimeZone'),
  pg_catalog.concat_ws(', ',
    CASE WHEN pg_catalog.current_setting('array_nulls') <> 'on' THEN 'array_nulls' END,
    CASE WHEN pg_catalog.current_setting('transform_null_equals') <> 'off' THEN 'transform_null_equals' END,
    CASE WHEN pg_catalog.current_setting('timezone_abbreviations') <> 'Default' THEN 'timezone_abbreviations' END),
  pg_catalog.current_setting('noisegate.epsilon', true),
  (SELECT pg_catalog.string_agg(c.relname::pg_catalog.text, E'\\n') FROM pg_catalog.pg_class c
   WHERE c.relnamespace = pg_catalog.pg_my_temp_schema())
"""

_MOVING = re.compile(r"\b(now|today|tomorrow|yesterday)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """epsilon: the price of the next private statement. temp_names: the session's temporary relations."""

    reading: ReadSettings
    epsilon: Decimal
    temp_names: frozenset[str]

    def shadows(self, tokens: Sequence[Token], private_names: Set[str]) -> bool:
        """True if every private name in the text means a temporary relation: then the statement is not private.

        Raises Unsupported where temporary relations and private tables may both be meant.
        """
        names = {t.value for t in tokens if t.kind in (Kind.NAME, Kind.QUOTED)}
        mixed = names & self.temp_names
        if self.temp_names and any(t.kind is Kind.BAD for t in tokens):
            raise Unsupported('a private question in a session with temporary relations cannot use U&"..." names')
        if not mixed:
            return False
        if names & private_names <= self.temp_names:
            return True
        name = sorted(mixed)[0]
        raise Unsupported(
            f"a private question cannot use the temporary relation {name}",
            name=name,
            hint="Write the private question as a statement or a WITH query of its own.",
        )

    def frozen_words(self, text: str, reading: str) -> NoisegateError | None:
        """A refusal where a literal such as 'today' was frozen at its value while the statement was read."""
        moving = [t for t in _whole_strings(text) if t.kind is Kind.BAD or _MOVING.search(t.value)]
        if not moving:
            return None
        kept = {t.value for t in tokenize(reading) if t.kind is Kind.STRING}
        frozen = next((t for t in moving if t.value not in kept), None)
        if frozen is None:
            return None
        if frozen.kind is Kind.BAD:
            return Unsupported(
                "a string with Unicode escapes is not supported in a private question",
                name=frozen.value,
                hint="Write the characters themselves.",
            )
        return Unsupported(
            f"the date literal '{frozen.value}' is not supported in a private question",
            name=frozen.value,
            hint="Use now(), current_date, or intervals added to them.",
        )


def _whole_strings(text: str) -> list[Token]:
    """The strings of a text, each with its parts on later lines; one whose escapes are not read here is BAD."""
    found: list[Token] = []
    before: Token | None = None
    for token in tokenize(text):
        if token.kind is Kind.STRING:
            first = found.pop() if before is not None and before.kind is Kind.STRING else None
            escaped = text[token.start] in "uU" and ("\\" in token.value or "uescape" in text.lower())
            kind = Kind.BAD if escaped or (first is not None and first.kind is Kind.BAD) else Kind.STRING
            value = token.value if first is None else first.value + token.value
            found.append(Token(kind, value, token.start if first is None else first.start, token.end))
        before = token
    return found


async def read_settings(hidden: Hidden, price: Price) -> SessionSettings:
    """Raises BadSetting for a price outside the policy's limits, or settings under which answers would be misread."""
    rows = await hidden.query(SETTINGS_SQL)
    if len(rows) != 1 or len(rows[0]) != 7:
        raise Internal("the session's settings could not be read")
    path, dates, intervals, zone, changed, epsilon, temporary = (
        None if cell is None else cell.decode("utf-8") for cell in rows[0]
    )
    if path is None or dates is None or intervals is None or zone is None:
        raise Internal("the session's settings could not be read")
    if changed:  # the reading was made without them
        raise BadSetting(
            f"private questions are answered under the default of {changed} only",
            hint=f"RESET {changed.split(', ')[0]}",
        )
    names = frozenset(temporary.split("\n")) if temporary else frozenset()
    chosen = price.epsilon if not epsilon else parse_epsilon(epsilon, price)
    return SessionSettings(ReadSettings(path, dates, intervals, zone), chosen, names)


def parse_epsilon(text: str, price: Price) -> Decimal:
    """The price of one statement. Raises BadSetting with what the policy allows."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not EPSILON_MIN <= value <= price.epsilon_max or len(value.as_tuple().digits) > 20:
        raise BadSetting(
            f'invalid value for parameter "noisegate.epsilon": "{text}"',
            name="epsilon",
            detail=f"A price is a number from {EPSILON_MIN} to {price.epsilon_max}.",
            hint=f"SET noisegate.epsilon = {price.epsilon}",
        )
    return value


def check_setting(one: Sketch, price: Price) -> NoisegateError | None:
    """What is wrong with a `SET noisegate.x = ...`, or None."""
    change = setting_change(one)
    if change is None:
        return None
    name, value = change
    if name not in SETTINGS:
        return BadSetting(
            f'unrecognized configuration parameter "{name}"',
            name=name.partition(".")[2],
            hint=f"noisegate has: {', '.join(sorted(SETTINGS))}",
        )
    if value.lower() == "default":
        return None
    try:
        parse_epsilon(value, price)
    except BadSetting as error:
        return error
    return None


def without_parameters(sql: str, types: Sequence[int], names: Mapping[int, str]) -> str:
    """The same query with NULLs of the parameters' types in place of $1, $2 ... : its outputs have the same types.

    `names`: how SQL writes a type. Raises Unsupported for a parameter whose type has no name there.
    """
    out: list[str] = []
    at = 0
    for token in tokenize(sql):
        if token.kind is Kind.PARAM:
            number = int(token.value)
            name = names.get(types[number - 1]) if 1 <= number <= len(types) else None
            if name is None:
                raise Unsupported("a parameter of this type is not supported in a private question")
            out.append(sql[at : token.start] + f"(NULL::{name})")
            at = token.end
    return "".join(out) + sql[at:]
