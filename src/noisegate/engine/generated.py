"""The texts that go to the data server: a plan's SQL with its secrets as parameters, and the session around it. Pure.

Nothing is interpolated into generated SQL. A placeholder {secret:N} or {given:I:J} outside quotes becomes a parameter,
so that secrets stand in no text that the data server may log or show, and values need no spelling; one inside quotes is
an analyst's constant and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from noisegate.errors import Internal
from noisegate.plan.measure import FragmentPlan, Selection

Settings = tuple[tuple[str, str], ...]
Parameter = int | tuple[int, int]  # the number of a secret; a given and the number of its column

# What makes texts of values and meanings of operators independent of the role's and the server's own settings.
# jit compiles longer than it saves; more work_mem than this makes the planner drop the parallel partial aggregate, and
# is slower. The lock timeout is for tables that are being altered: locks are taken before the charge.
SESSION: Final[Settings] = (
    ("jit", "off"),
    ("work_mem", "4MB"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("search_path", "pg_catalog, pg_temp"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
)

# What a plan may set besides: these change what values mean, never whose rows are read or for how long.
_PLAN_MAY_SET: Final = frozenset({"timezone", "datestyle", "intervalstyle", "lc_monetary", "lc_numeric", "lc_time"})

REST: Final = "rest"  # 1 in the row of the groups below the minimum, 0 in others

_TOKEN: Final = re.compile(
    r"""(?P<escaped> (?<![\w$]) [eE]'(?:[^'\\]|\\.|'')*+' )
      | (?P<quoted> '(?:[^']|'')*+' | "(?:[^"]|"")*+" )
      | \{secret:(?P<secret>\d{1,4})\}
      | \{given:(?P<given>\d{1,4}:\d{1,4})\}
      | (?P<alien> -- | /\* | (?<![\w$]) [eE]' | [$;{}'"\\] )""",
    re.VERBOSE | re.DOTALL,
)
_CONTINUED: Final = re.compile(r"\s*'")  # a string after a string continues it, by the first one's rules


def parametrised(plan: FragmentPlan) -> tuple[str, int]:
    """The plan's first query: see `statements`."""
    sql, numbers = statements(plan)[0]
    return sql, len(numbers)


def statements(plan: FragmentPlan) -> tuple[tuple[str, tuple[Parameter, ...]], ...]:
    """Each query of the plan: SQL with parameters $1 ... $n, and what each of them is: a secret (bigint) or a column of
    a given (text[]). A secret has one value for all queries of a run: they choose the same groups.

    Raises Internal for anything that generated SQL never holds: comments, dollar quotes, continued escape strings,
    semicolons, parameters, unbalanced quotes, secrets and givens that the plan does not declare.
    """
    further = tuple(_parameters(q.sql, plan) for q in plan.more)
    if not plan.sql and further:  # all is asked by further queries
        return further
    sql, numbers = _parameters(plan.sql, plan)
    return (candidates_only(sql, plan), numbers), *further


def _parameters(generated: str, plan: FragmentPlan) -> tuple[str, tuple[Parameter, ...]]:
    numbers: dict[Parameter, int] = {}

    def replace(match: re.Match[str]) -> str:
        if match["quoted"] is not None:
            return match[0]
        if match["escaped"] is not None and not _CONTINUED.match(match.string, match.end()):
            return match[0]
        if match["given"] is not None:
            index, _, column = match["given"].partition(":")
            if int(index) in plan.givens:
                return f"(${numbers.setdefault((int(index), int(column)), len(numbers) + 1)}::text[])"
        if match["secret"] is None or int(match["secret"]) >= plan.secrets:
            raise Internal("generated SQL holds what is never generated", detail="Nothing was charged.")
        return f"(${numbers.setdefault(int(match['secret']), len(numbers) + 1)}::bigint)"

    return _TOKEN.sub(replace, generated), tuple(numbers)


def candidates_only(sql: str, plan: FragmentPlan) -> str:
    """Leave groups below the minimum on the data server, or all of them in one row if the plan has one for hidden
    groups: they may be as many as there are people.

    This spares memory, no more: the release gate makes the same test on what arrives.
    """
    if not isinstance(plan.groups, Selection):
        return sql
    units = quoted_name(plan.tested)
    enough = f"totals.{units} >= {int(plan.groups.group_size_min)}"
    if plan.groups.other is None:
        return f"SELECT * FROM ({sql}) AS totals WHERE {enough}"
    keys = [quoted_name(key.name) for key in plan.keys]
    sums = [quoted_name(column) for column in plan.columns]
    inner = [f"CASE WHEN {enough} THEN totals.{k} END AS {k}" for k in keys] + [f"totals.{m}" for m in sums]
    rest = f"CASE WHEN {enough} THEN 0 ELSE 1 END::pg_catalog.int8 AS {REST}"
    repeated = {quoted_name(name) for clip in plan.clips if clip.fine for name in clip.above}
    outer = [f"t.{k}" for k in keys]
    outer += [f"pg_catalog.{'max' if m in repeated else 'sum'}(t.{m}) AS {m}" for m in sums] + [f"t.{REST}"]
    groups = ", ".join([f"t.{k}" for k in keys] + [f"t.{REST}"])
    return (
        f"SELECT {', '.join(outer)} FROM (SELECT {', '.join([*inner, rest])} FROM ({sql}) AS totals) AS t "
        f"GROUP BY {groups}"
    )


def session_settings(timeout_s: int) -> Settings:
    """What holds on a connection from its beginning to its end."""
    return (*SESSION, ("statement_timeout", f"{int(timeout_s)}s"))


def set_sql(settings: Settings) -> str:
    return "; ".join(f"SET {name} = {_value(text)}" for name, text in settings)


def _value(text: str) -> str:
    """SET takes a list for some settings, each element a word or a string."""
    return ", ".join(f"'{part.strip()}'" for part in text.split(","))


def plan_settings(plans: Iterable[FragmentPlan]) -> Settings:
    """The settings that the plans of one statement share and SESSION lacks. Raises Internal if the plans differ in
    them, or if they are not for plans."""
    distinct = {plan.settings for plan in plans}
    if len(distinct) > 1:
        raise Internal("the fragments of one statement were planned under different settings")
    settings = next(iter(distinct), ())
    if any(name.lower() not in _PLAN_MAY_SET for name, _ in settings):
        raise Internal("a plan sets what is not for plans to set")
    return tuple(setting for setting in settings if setting not in SESSION)


def quoted_name(name: str) -> str:
    if "\0" in name:
        raise Internal("a name holds a zero byte")
    return '"' + name.replace('"', '""') + '"'
