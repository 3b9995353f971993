"""Values at which PostgreSQL's functions raise, and ordinary ones: tables `wild` and `tame`, two columns per type."""

from __future__ import annotations

import random
from collections.abc import Mapping

import psycopg

TYPES: Mapping[str, str] = {
    "i2": "int2", "i4": "int4", "i8": "int8", "n": "numeric", "money": "numeric(10,2)", "long": "numeric(1000,0)",
    "deep": "numeric(1000,998)", "f4": "float4", "f8": "float8", "t": "text", "bp": "char(5)", "vc": "varchar(10)",
    "b": "bool", "d": "date", "ts": "timestamp", "tz": "timestamptz", "tm": "time", "iv": "interval", "u": "uuid",
    "e": "mood", "jb": "jsonb", "js": "json", "at": "text[]", "ai": "int4[]",
}  # fmt: skip

WILD: Mapping[str, tuple[str, ...]] = {
    "i2": ("-32768", "32767", "0", "1", "-1", "7"),
    "i4": ("-2147483648", "2147483647", "0", "1", "-1", "1000000"),
    "i8": ("-9223372036854775808", "9223372036854775807", "0", "1", "-1", "4611686018427387904"),
    "n": (
        "NaN", "Infinity", "-Infinity", "0", "0.00", "1e131071", "-1e131071", "9" * 131072 + ".9", "1e-16383", "1e308",
        "-1e309", "1e-400", "9" * 1000, "0." + "3" * 1000, "1e100", "1.005", "-7.5", "2147483647.5", "1e19", "12",
    ),
    "money": ("NaN", "99999999.99", "-99999999.99", "0.00", "0.01", "12.50"),
    "long": ("NaN", "9" * 1000, "-" + "9" * 1000, "0", "1", "1" + "0" * 400),
    "deep": ("NaN", "0." + "0" * 997 + "1", "-0." + "0" * 997 + "1", "99." + "9" * 998, "0", "1.5"),
    "f4": ("NaN", "Infinity", "-Infinity", "0", "-0", "3.4028235e38", "-3.4028235e38", "1e-45", "1e-30", "2.5"),
    "f8": (
        "NaN", "Infinity", "-Infinity", "0", "-0", "1.7976931348623157e308", "-1.7976931348623157e308", "5e-324",
        "-5e-324", "1e-300", "1e60", "1e-60", "1.0000000000000002e60", "9.2e18", "-9.3e18", "2147483647.5", "0.5",
        "1e15",
    ),
    "t": ("", " ", "a", "%", "_", "\\", "'", "ß" * 1000, "İ", "é", "\U0001f600", "x" * 1_000_000, "NaN", "\x01", "12",
          "9" * 40, "1e400", "1e-99", "0x1F", "2023-02-29", "2024-02-29 23:59:59.999999+14", "0000-01-01", "24:00:00",
          "tru", "(", "\t-1.5e99 "),
    "bp": ("", "a", "abcde", "é", "'", "  b"),
    "vc": ("", " ", "a  ", "abcdefghij", "é"),
    "b": ("true", "false"),
    "d": (
        "4714-11-24 BC", "5874897-12-31", "infinity", "-infinity", "0001-01-01 BC", "0001-01-01", "2000-02-29",
        "294276-12-31", "294277-01-01", "290000-01-01", "1500-01-01 BC", "9999-12-31",
    ),
    "ts": (
        "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "0001-01-01 00:00:00 BC",
        "2000-02-29 12:00:00.000001", "290000-01-01", "1500-01-01 BC", "1970-01-01", "1883-11-18 12:00:00",
    ),
    "tz": (
        "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "infinity", "-infinity",
        "2000-02-29 12:00:00.000001+00", "290000-01-01 00:00+00", "1500-01-01 00:00+00 BC", "2021-11-07 09:30:00+00",
    ),
    "tm": ("00:00:00", "24:00:00", "23:59:59.999999", "12:30:00"),
    "iv": (
        "178000000 years", "-178000000 years", "2147483647 days", "-2147483648 days", "infinity", "-infinity",
        "2562047788:00:54.775807",
        "-2562047788:00:54.775807", "0", "1 mon -30 days 720:00:00", "-1 microsecond", "1 day",
    ),
    "u": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "e": ("sad", "ok", "glad"),
    "jb": ("null", "1", '"x"', "[]", "{}", "true", "1e131071", '[1, [2, {"a": null}]]',
           '{"a": {"a": [1e-16383]}, "b": 1}',
           '{"a": "\\u0001"}', "[" * 900 + "]" * 900, '{"a": 1e400}', '{"": -1}'),
    "js": ("null", "1", '"x"', "[]", "{}", '{"a": 1, "a": 2}', '{"a": "\\u0000"}', '{"a": "\\ud83d"}',
           '{"\\u0000": 1}',
           '["\\udc00"]', '{"a": "\\u00e9"}', "[" * 4000 + "]" * 4000, ' {"a" : [ 1 ] } ', '{"a": 1e999999}'),
    "at": ("{}", "{NULL}", "{a,b}", "{{a,b},{c,d}}", "[5:6]={x,y}", "[-2147483648:-2147483647]={a,b}", '{""}'),
    "ai": ("{}", "{NULL}", "{1,2,3}", "{{1,2},{3,4}}", "[5:6]={7,-1}", "{2147483647,-2147483648}",
           "[2147483646:2147483646]={0}"),
}  # fmt: skip

TAME: Mapping[str, tuple[str, ...]] = {
    "i2": ("-3", "0", "1", "2", "7", "12"),
    "i4": ("-30", "0", "1", "2", "7", "120"),
    "i8": ("-300", "0", "1", "2", "7", "1200"),
    "n": ("0", "0.00", "1.0", "1.005", "-7.5", "2.5", "3.5", "12", "1200.125"),
    "money": ("0.00", "0.01", "12.50", "-3.25", "7.00"),
    "long": ("0", "1", "-7", "123456789"),
    "deep": ("0", "1.5", "-2.5", "7"),
    "f4": ("0", "-0", "2.5", "-1.5", "8"),
    "f8": ("0", "-0", "0.5", "1.5", "2.5", "-2.5", "1e10", "7", "0.1"),
    "t": ("", " ", "a", "Ab", "%", "_x", "a\\b", "'", "ß", "é ", "ab%", "12",
          " -7 ", "1.50", "2024-02-29", "2024-01-02 03:04:05", "yes", "F", "12:30", "a-b-c"),
    "bp": ("", "a", "abcde", "é", "  b"),
    "vc": ("", " ", "a  ", "abcdefghij", "é"),
    "b": ("true", "false"),
    "d": ("2000-02-29", "1999-12-31", "2024-01-01", "0800-05-06"),
    "ts": ("2000-02-29 12:00:00.000001", "1999-12-31 23:59:59.999999", "2024-01-01", "0800-05-06 07:08:09"),
    "tz": ("2000-02-29 12:00:00.000001+00", "1999-12-31 23:59:59+00", "2024-01-01 00:00+00", "2021-11-07 09:30:00+00"),
    "tm": ("00:00:00", "24:00:00", "23:59:59.999999", "12:30:00"),
    "iv": ("0", "1 day", "24:00:00", "1 mon", "30 days", "-1 microsecond"),
    "u": WILD["u"],
    "e": WILD["e"],
    "jb": ('{"a": 1, "b": [1, "x"]}', '{"a": "text", "n": 1.50}', "[1, 2, 3]", '"x"', "null", '{"a": {"b": "c"}}',
           '{"a": true}'),
    "js": ('{"a": 1, "b": [1, "x"]}', '{"a": "é\\u00e9", "n": 1.50}', "[1, 2, 3]", '{"a": {"b": "c"}}'),
    "at": ("{}", "{a}", "{a,b,a}", "{b,NULL}"),
    "ai": ("{}", "{1}", "{1,2,7}", "{2,NULL}", "{7,7}"),
}  # fmt: skip

COLUMNS = tuple(f"{name}{i}" for name in TYPES for i in (1, 2))


def create_sql() -> str:
    """Tables `wild` and `tame` with a unit column `id`, an enum `mood`."""
    columns = ", ".join(f"{name}{i} {kind}" for name, kind in TYPES.items() for i in (1, 2))
    return (
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');"
        f"CREATE TABLE wild (id int PRIMARY KEY, {columns}); CREATE TABLE tame (id int PRIMARY KEY, {columns});"
    )


def fill(connection: psycopg.Connection, table: str, values: Mapping[str, tuple[str, ...]], rows: int) -> None:
    """Random rows; every value of every column occurs. Long texts are rare."""
    draw = random.Random(1)
    with connection.cursor() as cursor, cursor.copy(f"COPY public.{table} FROM STDIN") as copy:
        for i in range(rows):
            row: list[object] = [i]
            for name in TYPES:
                known = values[name]
                short = tuple(v for v in known if len(v) < 100_000)
                for shift in (0, 7):
                    if i < len(known):
                        row.append(known[(i + shift) % len(known)])
                    else:
                        row.append(draw.choice((None, *short)))
            copy.write_row(row)


POLICY = """
database: extremes
dsn: ${{DSN}}
unit: {{table: wild, key: id}}
tables:
  wild:
    unit: id
    columns: {{{columns}}}
  tame:
    unit: id
    columns: {{{columns}}}
price: {{epsilon: 1, epsilon_max: 10, delta: 1e-6}}
budgets: {{dataset: {{epsilon: 1, delta: 1e-3}}, analyst: {{epsilon: 1, delta: 1e-3}}}}
"""
_BOUNDS = {"i": "[-5, 1000]", "n": "[-5.5, 1000]", "f": "[-5.5, 1000]", "money": "[0, 20]", "long": "[-10, 10]",
           "deep": "[0, 2]", "d": "[2000-01-01, 2030-01-01]", "ts": "[2000-01-01, 2030-01-01]",
           "tz": "[2000-01-01, 2030-01-01]"}  # fmt: skip


def policy_text() -> str:
    def promise(column: str) -> str:
        name = column[:-1]
        bounds = _BOUNDS.get(name) or _BOUNDS.get(name.rstrip("248") if name[0] in "if" else name)
        return f"{{bounds: {bounds}}}" if bounds and name not in ("iv",) else ""

    return POLICY.format(columns=", ".join(f"{c}: {promise(c)}" for c in COLUMNS))
