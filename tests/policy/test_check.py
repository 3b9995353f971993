"""`check`: what it says of a policy and a real database that do not fit each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from noisegate.cli.check import check, check_policies, read_facts
from noisegate.errors import Unavailable
from noisegate.policy.check import check as check_one
from noisegate.policy.check_columns import element_base
from noisegate.policy.facts import ColumnFacts, DatabaseFacts, TableFacts
from noisegate.policy.load import load_policies, load_text
from noisegate.room.embedded import EmbeddedServer
from support.servers import new_database

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE countries (code text PRIMARY KEY, name text, number int);
CREATE TABLE users (id bigint PRIMARY KEY, plan text, country text, age int, mood mood, born date, seen timestamp,
    at timestamptz, note json, score float8, money numeric(10,2), short varchar(3));
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, price numeric(10,2));
CREATE TABLE odd (loose bigint, words text, uid uuid, real float8,
    seller bigint REFERENCES users, fixed char(4), small int);
CREATE VIEW seen AS SELECT id, plan FROM users;
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW mean AS SELECT f(age) FROM users;
CREATE ROLE check_reader LOGIN;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO check_reader;
"""

POLICY = """\
database: shop
dsn: ${SHOP_DSN}
unit: {table: users, key: id}
tables:
  users:
    unit: id
    columns:
      id:
      plan: {domain: [free, pro]}
      country: {domain: countries.code}
      age: {bounds: [0, 120]}
      mood:
      born: {bounds: [1900-01-01, 2020-01-01]}
      seen: {bounds: [2020-01-01, 2021-01-01]}
      at: {bounds: [2020-01-01 00:00:00+00, 2021-01-01 00:00:00+00]}
      note: {hidden: true}
      score: {bounds: [0, 1]}
      money: {bounds: [0, 500], unit_total: 5000}
      short:
  orders:
    unit: user_id
    columns: {id: , user_id: }
  items:
    unit: order_id -> orders.user_id
    columns: {id: , price: {bounds: [0, 10]}}
  countries: {public: true, columns: {code: , name: , number: }}
budgets:
  dataset: {epsilon: 10, delta: 1e-5}
  analyst: {epsilon: 1, delta: 1e-6}
"""
ODD = "  odd:\n    unit: loose\n    columns: {words: , uid: , real: , seller: , fixed: , small: }\n"

KEY = "key: id}\ntables:\n  users:\n    unit: id\n"

# (what stands in POLICY, what is written instead, severity, line, words).
# '+odd x' adds the table `odd` on line 26, with unit x.
CASES = [
    ("  items:", "  itmes:", "error", 23, "the database has no table 'itmes'; did you mean 'items'?"),
    ("  items:", "  zzz.items:", "error", 23, "the database has no table 'zzz.items'"),
    (
        "  countries: {",
        "  seen: {public: true, columns: {id: }}\n  countries: {",
        "error",
        26,
        "'seen' is a view or a foreign table",
    ),
    ("budgets:", "views:\n  - seen\nbudgets:", "note", 31, "buys 10 statements"),
    ("budgets:", "views:\n  - seen\n  - sene\nbudgets:", "error", 29, "view sene: the data server has no such view"),
    ("budgets:", "views:\n  - mean\nbudgets:", "error", 28, "view mean: it uses function public.f"),
    ("      plan:", "      paln:", "error", 9, "has no column 'paln'; did you mean 'plan'?"),
    ("unit: order_id", "unit: ordr_id", "error", 24, "has no column 'ordr_id'; did you mean 'order_id'?"),
    (KEY, KEY.replace("id", "idd"), "error", 3, "'users' has no column 'idd'; did you mean 'id'?"),
    ("age: {bounds: [0, 120]}", "age: {bounds: [2020-01-01, 2021-01-01]}", "error", 11, "write two numbers"),
    ("[1900-01-01, 2020-01-01]", "[0, 5]", "error", 13, "'born' has type date; write dates"),
    ("[1900-01-01, 2020-01-01]", "[1900-01-01 00:00:00, 2020-01-01 00:00:00]", "error", 13, "'born' has type date"),
    ("[2020-01-01, 2021-01-01]", "[2020-01-01 00:00:00Z, 2021-01-01 00:00:00Z]", "error", 14, "without a zone"),
    ("      mood:", "      mood: {bounds: [0, 1]}", "error", 12, "only numbers, dates and timestamps have bounds"),
    ("      mood:", "      mood: {grid: 1}", "error", 12, "'grid' is for numbers; leave it out"),
    ("      mood:", "      mood: {domain: [sad, glad]}", "warning", 12, "are known from its type"),
    ("      mood:", "      mood: {domain: [sad, mad]}", "error", 12, "'mad' is not a value of type"),
    ("age: {bounds: [0, 120]}", "age: {bounds: [0, 120], grid: 0.5}", "error", 11, "write a whole grid"),
    ("age: {bounds: [0, 120]}", "age: {unit_total: 5}", "warning", 11, "cannot be summed; write its bounds"),
    ("age: {bounds: [0, 120]}", "age: {domain: [1, two]}", "error", 11, "'two' is not a value of type integer"),
    (
        "age: {bounds: [0, 120]}",
        "age: {bounds: [0, 1e17]}",
        "warning",
        11,
        "write a coarser grid or a smaller unit_total",
    ),
    (
        "      short:",
        "      short: {domain: [abc, abcd]}",
        "error",
        19,
        "'abcd' is not a value of type character varying(3)",
    ),
    ("note: {hidden: true}", "note: {domain: [a]}", "error", 16, "has type json, which cannot have a domain"),
    ("score: {bounds: [0, 1]}", "score: {domain: [1, 2]}", "error", 17, "which cannot have a domain"),
    ("countries.code", "countries.number", "error", 10, "name a column of the same type"),
    ("      short:", "      short: {length_max: 3}", "error", 19, "'length_max' is for arrays"),
    (
        "      note: {hidden: true}\n",
        "",
        "warning",
        7,
        "named nowhere do not exist for analysts: note; write 'note: {hidden",
    ),
    ("{id: , price:", "{price:", "warning", 25, "named nowhere do not exist for analysts: id;"),
    ("{table: users, key: id}", "{table: orders, key: user_id}", "warning", 3, "is not an enforced key"),
    ("  countries:", "+odd", "warning", 27, "'odd.loose' may be NULL; rows without a unit are left out"),
    ("  countries:", "+odd", "warning", 27, "'odd.seller' names units, too"),
    (
        "  countries:",
        "+odd words",
        "error",
        27,
        "'odd.words' is text and 'users.id' is int8; give both columns the same type",
    ),
    ("  countries:", "+odd small", "error", 27, "'odd.small' is int4 and 'users.id' is int8"),
    ("  countries:", "+odd real", "error", 27, "a unit is an integer, a uuid or a text"),
    ("  countries:", "+odd fixed", "error", 27, "a unit is an integer, a uuid or a text"),
    (
        "  countries:",
        "+odd loose -> orders.user_id",
        "warning",
        27,
        "no validated foreign key leads from 'loose' to 'orders'",
    ),
    (
        "  countries:",
        "  odd: {public: true, columns: {seller: }}\n  countries:",
        "warning",
        26,
        "'odd' is public, and its column 'seller' refers",
    ),
    ("  dataset: {epsilon: 10", "  dataset: {epsilon: 0.5", "warning", 29, "larger than the data set's"),
    (
        "analyst: {epsilon: 1,",
        "analyst: {epsilon: 0.01,",
        "warning",
        29,
        "no statement at the default price (0.1) fits",
    ),
    (
        "database:",
        "database:",
        "note",
        29,
        "buys 10 statements at the default price; its delta is enough for 1000 groupings",
    ),
]


def edited(there: str, instead: str) -> str:
    assert there in POLICY
    if instead.startswith("+odd"):
        unit = instead.removeprefix("+odd").strip() or "loose"
        instead = ODD.replace("loose", unit) + there
    return POLICY.replace(there, instead, 1)


@pytest.fixture(scope="module")
def owner_dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, SCHEMA)


@pytest.fixture(scope="module")
def dsn(owner_dsn: str) -> str:
    return owner_dsn.replace("postgres@", "check_reader@")


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(POLICY)
    return file


def test_a_policy_that_fits_has_notes_only(policy_file: Path, dsn: str) -> None:
    loaded, findings = check_policies(policy_file, {"SHOP_DSN": dsn})
    assert [one.policy.database for one in loaded] == ["shop"]
    assert [(f.severity, f.line) for f in findings] == [("note", 28), ("note", 29)]


@pytest.mark.parametrize(("there", "instead", "severity", "line", "words"), CASES, ids=[f"{c[1]}"[:50] for c in CASES])
def test_each_misfit(
    policy_file: Path, dsn: str, there: str, instead: str, severity: str, line: int, words: str
) -> None:
    policy_file.write_text(edited(there, instead))
    _, findings = check_policies(policy_file, {"SHOP_DSN": dsn})
    said = [(f.severity, f.line, f.text) for f in findings]
    assert any(s == severity and at == line and words in text for s, at, text in said), said
    assert (severity == "error") == any(s == "error" for s, _, _ in said), said


def test_the_role_of_the_dsn(policy_file: Path, data_server: EmbeddedServer) -> None:
    dsn = new_database(
        data_server,
        SCHEMA.replace("CREATE ROLE check_reader LOGIN;", "CREATE ROLE check_writer LOGIN;").replace(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO check_reader", "GRANT INSERT ON users TO check_writer"
        ),
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; GRANT SELECT ON orders, items, countries TO check_writer",
    )
    as_writer = [
        str(f).split(": ", 1)[1]
        for f in check_policies(policy_file, {"SHOP_DSN": dsn.replace("postgres@", "check_writer@")})[1]
    ]
    assert "user 'check_writer' may not read 'users'; GRANT SELECT on it" in as_writer
    assert any(
        text.startswith("'orders' has row security, which may hide rows from 'check_writer'") for text in as_writer
    )
    assert any("may write users; a role that may only SELECT is enough" in text for text in as_writer)
    as_owner = check_policies(policy_file, {"SHOP_DSN": dsn})[1]
    assert any("'postgres' is a superuser" in f.text and f.line == 2 and f.severity == "warning" for f in as_owner)


def test_facts_leave_the_transaction_read_only_and_see_no_rows(policy_file: Path, dsn: str) -> None:
    (policy,) = load_policies(policy_file, {"SHOP_DSN": dsn})
    facts = read_facts(policy, dsn)
    assert facts.user == "check_reader"
    assert facts.tables["public", "items"].columns["price"].scale == 2
    assert facts.tables["public", "items"].foreign_keys[0].target == ("public", "orders")
    assert ("public", "odd") in facts.names


@pytest.mark.parametrize("wrong", ["postgresql://x@/y?host=/nowhere", "no dsn hunter2", "postgresql://[hunter2"])
def test_a_database_that_cannot_be_reached(policy_file: Path, wrong: str) -> None:
    _, findings = check_policies(policy_file, {"SHOP_DSN": wrong})
    assert [(f.severity, f.line) for f in findings] == [("error", 2)]
    assert "correct the DSN, or start the server" in findings[0].text
    assert "hunter2" not in findings[0].text
    (policy,) = load_policies(policy_file, {"SHOP_DSN": wrong})
    with pytest.raises(Unavailable):
        read_facts(policy, wrong)


def test_the_command(policy_file: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(check)
    monkeypatch.setenv("SHOP_DSN", dsn)
    runner = CliRunner()
    good = runner.invoke(app, [str(policy_file)])
    assert (good.exit_code, good.output.splitlines()[-1]) == (0, "0 errors, 0 warnings: can be served")
    policy_file.write_text(POLICY.replace("      plan:", "      paln:"))
    bad = runner.invoke(app, [str(policy_file), "--json"])
    said = json.loads(bad.output)
    assert bad.exit_code == 2
    assert not said["ok"]
    assert said["findings"][0].keys() == {"severity", "file", "line", "text"}
    shown = runner.invoke(app, [str(policy_file)])
    assert shown.exit_code == 2
    assert "shop.yaml:9 error: the database's table 'users' has no column 'paln'" in shown.output
    assert shown.output.splitlines()[-1].endswith(": not served")
    nowhere = runner.invoke(app, [str(policy_file.parent / "nowhere")])
    assert nowhere.exit_code == 2
    assert "no such file or folder" in nowhere.output


def test_a_unit_whose_texts_are_equal_without_being_the_same() -> None:
    """The embedded PostgreSQL has no ICU, so that these facts are written by hand."""
    loaded, _ = load_text("shop.yaml", POLICY, {"SHOP_DSN": "x"})
    assert loaded is not None
    blind = TableFacts({"id": ColumnFacts("text", "text", not_null=True, deterministic=False)})
    said = [f.text for f in check_one(loaded, DatabaseFacts("reader", False, {("public", "users"): blind}))]
    assert any("'users.id' has a collation that takes different texts for equal" in text for text in said)
    same = TableFacts({"id": ColumnFacts("text", "text", not_null=True)})
    said = [f.text for f in check_one(loaded, DatabaseFacts("reader", False, {("public", "users"): same}))]
    assert not any("collation" in text for text in said)


def test_errors_of_the_file_and_of_the_database_together(tmp_path: Path, dsn: str) -> None:
    (tmp_path / "a.yaml").write_text(POLICY.replace("[0, 120]", "[120, 0]"))
    (tmp_path / "b.yaml").write_text(POLICY.replace("      plan:", "      paln:"))
    _, findings = check_policies(tmp_path, {"SHOP_DSN": dsn})
    errors = [(Path(f.file).name, f.line) for f in findings if f.severity == "error"]
    assert errors == [("a.yaml", 11), ("b.yaml", 9), ("b.yaml", 1)]


@pytest.mark.parametrize(
    ("type_sql", "base"),
    [
        ("text[]", "text"),
        ("numeric(10,2)[]", "numeric"),
        ("timestamp(3) with time zone[]", "timestamptz"),
        ("jsonb[]", ""),
        ("public.mood[]", ""),
        ("integer", ""),
    ],
)
def test_elements_of_arrays(type_sql: str, base: str) -> None:
    assert element_base(ColumnFacts("other", type_sql)) == base
