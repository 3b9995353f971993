"""Policy files: what is read, and that every mistake is named with its line and what to write."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from noisegate.errors import PolicyError
from noisegate.policy.load import load_files, load_policies, load_text, policy_hash
from noisegate.policy.names import UnitPath, unit_path

GOOD = """\
database: demo
dsn: ${DEMO_DSN}
unit: {table: users, key: id}
tables:
  users:
    unit: id
    columns:
      id:
      plan: {domain: [free, pro]}
      age: {bounds: [0, 120], typical: 35}
      signup: {bounds: [2020-01-01, 2025-12-31]}
      country: {domain: countries.code}
      email: {hidden: true}
  events:
    unit: user_id
    columns:
      amount: {bounds: [0, 500.5], grid: 0.01, unit_total: 2_000}
      seen_at: {bounds: [2024-01-01 00:00:00+00, 2024-12-31 23:59:59+00]}
    limits: {groups_per_unit_max: 5}
    unprotected_units: [referrer_id]
  items:
    unit: event_id -> events.user_id
    columns: {}
  countries:
    public: true
    columns: {code: , name: }
limits: {group_size_min: 20}
price: {epsilon: 0.1, epsilon_max: 1, delta: 1e-9}
budgets:
  dataset: {epsilon: 100, delta: 1e-5}
  analyst: {epsilon: 10, delta: 1e-6}
  analysts:
    alice: {epsilon: 20, delta: 1e-6}
"""
ENV = {"DEMO_DSN": "postgresql://owner:secret@localhost/demo"}


def problems(text: str) -> list[str]:
    return load_text("p.yaml", text, ENV)[1]


def test_a_whole_policy(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(GOOD)
    (policy,) = load_policies(tmp_path, ENV)
    users, events = policy.tables["users"], policy.tables["events"]
    assert policy.dsn == ENV["DEMO_DSN"]
    assert users.columns["age"].bounds == (Decimal(0), Decimal(120))
    assert users.columns["signup"].bounds == (dt.date(2020, 1, 1), dt.date(2025, 12, 31))
    assert users.columns["plan"].domain == ("free", "pro")
    assert users.columns["country"].domain == "countries.code"
    assert events.columns["amount"].unit_total == 2000
    assert events.columns["amount"].bounds == (Decimal(0), Decimal("500.5"))
    assert events.columns["seen_at"].bounds is not None
    assert events.columns["seen_at"].bounds[0] == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert policy.price.delta == Decimal("1e-9")
    assert policy.limits.group_size_min == 20
    assert policy.limits_of("events").model_dump(exclude_none=True) == {
        "groups_per_unit_max": 5,
        "rows_per_group_max": 50,
        "group_size_min": 20,
        "join_rows_per_unit_max": 10_000,
    }


def test_numbers_are_what_the_file_says() -> None:
    loaded, wrong = load_text("p.yaml", GOOD.replace("grid: 0.01", "grid: 0.1000000000000000055"), ENV)
    assert not wrong
    assert loaded is not None
    assert loaded.policy.tables["events"].columns["amount"].grid == Decimal("0.1000000000000000055")


def test_values_of_a_domain_are_texts() -> None:
    loaded, wrong = load_text("p.yaml", GOOD.replace("[free, pro]", "[1, 2.50, true, no, 2024-01-01]"), ENV)
    assert not wrong
    assert loaded is not None
    assert loaded.policy.tables["users"].columns["plan"].domain == ("1", "2.50", "true", "no", "2024-01-01")


MISTAKES = [
    # (what stands in GOOD, what is written instead, line, words of the message)
    ("${DEMO_DSN}", "${OTHER}", 2, "the environment variable OTHER is not set; set it"),
    ("${DEMO_DSN}", "${DEMO_DSN", 2, "write ${NAME}"),
    ("${DEMO_DSN}", "''", 2, "the DSN is empty"),
    ("database: demo", "database: 5", 1, "'database' has a value that cannot be used; write the name"),
    ("database: demo", "database: a b", 1, "the database name cannot be used"),
    ("database: demo", "database: postgres", 1, "write another name"),
    ("key: id}", "keyy: id}", 3, "unknown key 'keyy'; did you mean 'key'?"),
    ("key: id}", "keyy: id}", 3, "'key' is missing in unit; write the column"),
    ("typical: 35", "tpyical: 35", 10, "unknown key 'tpyical'; did you mean 'typical'?"),
    ("typical: 35", "xyz: 35", 10, "unknown key 'xyz'; write one of bounds, domain, grid, hidden"),
    ("typical: 35", "typical: 350", 10, "'typical' is outside the bounds"),
    ("      email:", "      age:", 13, "'age' stands here a second time (first on line 10); write it once"),
    ("bounds: [0, 120]", "bounds: [120, 0]", 10, "low value above the high one; write [low, high]"),
    ("bounds: [0, 120]", "bounds: [0, .inf]", 10, "'.inf' is not a value that can be used; write a finite number"),
    ("bounds: [0, 120]", "bounds: [0, 1e400]", 10, "write a finite number between 1e-30 and 1e30"),
    ("bounds: [0, 120]", "bounds: [0, 1, 2]", 10, "write two numbers, dates or timestamps"),
    ("bounds: [0, 120]", "bounds: [0, true]", 10, "write two numbers, dates or timestamps"),
    ("bounds: [0, 120]", "bounds: 120", 10, "write two numbers, dates or timestamps"),
    ("bounds: [0, 120]", "bounds: [0, many]", 10, "write two numbers, dates or timestamps"),
    ("2025-12-31]", "5]", 11, "the bounds of 'signup' are of two kinds"),
    ("2025-12-31]", "2025-12-31 00:00:00]", 11, "the bounds of 'signup' are of two kinds"),
    ("2025-12-31]", "2025-13-31]", 11, "'2025-13-31' is not a value that can be used"),
    ("2024-12-31 23:59:59+00", "2024-12-31 23:59:59", 18, "two kinds"),
    ("[2020-01-01, 2025-12-31]", "[2020-01-01, 2025-12-31], grid: 5", 11, "'grid' is for numbers"),
    ("grid: 0.01", "grid: 0", 17, "'grid' must be above 0"),
    ("grid: 0.01", "grid: 1000", 17, "the grid is wider than the bounds"),
    ("unit_total: 2_000", "unit_total: -1", 17, "'unit_total' must be above 0"),
    ("unit_total: 2_000", "unit_total: lots", 17, "write the most that one unit adds"),
    ("[free, pro]", "[]", 9, "the domain of 'plan' is empty"),
    ("[free, pro]", "[free, pro, free]", 9, "'free' stands twice"),
    ("[free, pro]", "[free, null]", 9, "write a list of values"),
    ("[free, pro]", "{a: 1}", 9, "write a list of values"),
    ("countries.code", "countries", 12, "is not a list or a column; write '[free, pro]' or 'countries.code'"),
    ("countries.code", "country.code", 12, "names table 'country', which has no entry; did you mean 'countries'?"),
    ("countries.code", "events.amount", 12, "names 'events', which is not public"),
    ("countries.code", "countries.coed", 12, "did you mean 'code'?"),
    ("email: {hidden: true}", "email: {hidden: true, grid: 1}", 13, "'email' is hidden and has other properties"),
    ("email: {hidden: true}", "email: {hidden: maybe}", 13, "write 'true' or 'false'"),
    ("      id:\n", "      id: {hidden: true}\n", 8, "'id' leads to the unit and every question needs it"),
    ("email:", "ctid:", 13, "'ctid' is a system column"),
    ("    public: true\n", "    public: false\n", 24, "neither whose its rows are nor that they are public"),
    ("    unit: user_id\n", "    unit: user_id\n    public: true\n", 16, "has a unit and is public"),
    ("event_id -> events.user_id", "event_id -> user_id", 22, "write 'user_id', 'order_id -> orders.user_id' or"),
    ("event_id -> events.user_id", "(event_id, at -> events.user_id", 22, "is not a column or a chain"),
    ("event_id -> events.user_id", "(event_id) -> events.user_id", 22, "is not a column or a chain"),
    ("event_id -> events.user_id", "(at, at) -> events.user_id", 22, "is not a column or a chain"),
    ("event_id -> events.user_id", "event_id -> events.(user_id, at)", 22, "is not a column or a chain"),
    ("event_id -> events.user_id", "event_id -> events.user_id -> users.plan", 22, "the chain goes on with 'events"),
    ("    unit: user_id\n", "    unit: at -> users.id\n", 22, "the unit of 'events' is 'at -> users.id'; write that"),
    ("event_id -> events.user_id", "event_id -> evnts.user_id", 22, "did you mean 'events'?"),
    ("event_id -> events.user_id", "event_id -> events.id", 22, "the unit of 'events' is 'user_id'"),
    ("event_id -> events.user_id", "event_id -> countries.code", 22, "which is not private"),
    ("    unit: id\n", "    unit: age\n", 6, "'users' is the table of units, whose key is 'id'"),
    ("    unit: id\n", "    public: true\n", 6, "'users' is the table of units and cannot be public"),
    ("  items:", "  public.users:", 21, "are one table; write it once"),
    ("  items:", "  pg_catalog.pg_class:", 21, "belongs to PostgreSQL's catalogs"),
    ("  items:", "  a.b.c:", 21, "write 'table' or 'schema.table'"),
    ("    public: true\n", "    public: true\n    limits: {group_size_min: 5}\n", 26, "has no contribution limits"),
    ("    public: true\n", "    public: true\n    unprotected_units: [x]\n", 26, "protects nobody"),
    ("limits: {group_size", "views: [seen, public.seen]\nlimits: {group_size", 27, "'public.seen' stands twice among"),
    ("limits: {group_size", "views: [seen, users]\nlimits: {group_size", 27, "'users' stands under 'tables', too"),
    ("limits: {group_size", "views: [a.b.c]\nlimits: {group_size", 27, "is not a view's name; write 'view' or 'schema"),
    ("limits: {group_size", "views: [pg_catalog.pg_roles]\nlimits: {group_size", 27, "a schema that is reserved"),
    ("limits: {group_size", "views: seen\nlimits: {group_size", 27, "write a list of the data server's views"),
    ("groups_per_unit_max: 5", "groups_per_unit_max: 0", 19, "write a whole number of at least 1"),
    ("groups_per_unit_max: 5", "groups_per_unit_max: 1.5", 19, "write a whole number"),
    ("group_size_min: 20", "group_size: 20", 27, "did you mean 'group_size_min'?"),
    ("price: {epsilon: 0.1", "price: {epsilon: 2", 28, "above epsilon_max (1); write at most that"),
    ("price: {epsilon: 0.1", "price: {epsilon: 0", 28, "the default price is not above 0"),
    ("delta: 1e-9}", "delta: 1e-5}", 30, "does not exceed the price of one statement"),
    ("delta: 1e-9}", "delta: 1.5}", 28, "delta is not a probability"),
    ("analyst: {epsilon: 10, delta: 1e-6}", "analyst: {epsilon: 10}", 31, "write 'delta: 1e-6'"),
    ("analyst: {epsilon: 10, delta: 1e-6}", "analyst: {epsilon: -1, delta: 0}", 31, "a budget cannot be negative"),
    ("  analyst: {epsilon: 10, delta: 1e-6}\n", "", 29, "'analyst' is missing in budgets; write 'analyst: {epsilon"),
    ("alice: {epsilon: 20, delta: 1e-6}", "alice: 20", 33, "'alice' has a value that cannot be used; write one line"),
    ("20, delta: 1e-6}", "20, delta: 1e-6, ceiling: 5}", 33, "write the most that grants may ever reach"),
    ("20, delta: 1e-6}", "20, delta: 1e-6, ceiling: {epsilon: 5, delta: 1}}", 33, "the ceiling is below the budget"),
    ("20, delta: 1e-6}", "20, delta: 1e-6, ceiling: {epsilon: 30, delta: 1}}", 33, "delta is not a probability"),
    ("alice:", "pg_monitor:", 33, "this cannot be a user's name"),
    ("budgets:", "accounting: renyi\nbudgets:", 29, "write 'accounting: basic'"),
    ("database: demo", "database: demo\n<<: {a: 1}", 2, "a key must be a plain name"),
    ("database: demo", "database: !!binary demo", 1, "is not used here; write the plain value"),
]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("user_id", UnitPath("user_id")),
        ("order_id -> orders.user_id", UnitPath("order_id", (("orders", "user_id"),))),
        (
            "( no,region )->shop.lines.(order_no, part) -> shop.orders.user_id",
            UnitPath("(no, region)", (("shop.lines", "(order_no, part)"), ("shop.orders", "user_id"))),
        ),
        ("(no, region)", None),
        ("a, b -> c.d", UnitPath("a, b", (("c", "d"),))),  # a name may hold anything
        ("a -> b.()", None),
        ("", None),
    ],
)
def test_how_a_path_to_the_unit_is_written(text: str, path: UnitPath | None) -> None:
    assert unit_path(text) == path


def test_the_policy_of_the_mistakes_has_none() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(("there", "instead", "line", "words"), MISTAKES, ids=[f"{m[1]}"[:40] for m in MISTAKES])
def test_each_mistake_has_its_line_and_remedy(there: str, instead: str, line: int, words: str) -> None:
    assert GOOD.count(there) >= 1
    found = problems(GOOD.replace(there, instead, 1))
    assert any(p.startswith(f"p.yaml:{line}: ") and words in p for p in found), found


def test_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.replace("[0, 120]", "[120, 0]").replace("grid: 0.01", "gird: 1"))
    (tmp_path / "b.yml").write_text(GOOD)
    (tmp_path / "c.yaml").write_text("a: [")
    with pytest.raises(PolicyError) as caught:
        load_policies(tmp_path, ENV)
    assert [p.removeprefix(f"{tmp_path}/").split(";")[0] for p in caught.value.problems] == [
        "a.yaml:10: the bounds of 'age' have the low value above the high one",
        "a.yaml:17: unknown key 'gird'",
        "c.yaml:1: not valid YAML: expected the node content, but found '<stream end>'",
        f"b.yml:1: database 'demo' has a policy already ({tmp_path}/a.yaml:1)",
    ]


def test_an_explicit_delta_of_zero_means_no_group_selection() -> None:
    assert problems(GOOD.replace("analyst: {epsilon: 10, delta: 1e-6}", "analyst: {epsilon: 10, delta: 0}")) == []


def test_secrets_of_the_environment_stay_out_of_messages() -> None:
    found = load_text("p.yaml", GOOD.replace("${DEMO_DSN}", "${DEMO_DSN} ${"), {"DEMO_DSN": "hunter2"})[1]
    assert found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"- a", b"a: 1\n---\nb: 2", b"&a [*a]", b"x: &a {b: *a}", b"\0"])
def test_what_is_not_a_policy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        load_policies(file, ENV)
    assert all(p.startswith(f"{file}:") and ";" in p for p in caught.value.problems)


def test_no_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such file or folder"):
        load_files(tmp_path / "nowhere", ENV)
    with pytest.raises(PolicyError, match="the folder has no policy"):
        load_files(tmp_path, ENV)


def test_the_hash_is_of_the_promise_not_of_the_password() -> None:
    def hash_of(text: str, dsn: str) -> str:
        loaded, wrong = load_text("p.yaml", text, {"DEMO_DSN": dsn})
        assert loaded is not None
        assert not wrong
        return policy_hash(loaded.policy)

    assert hash_of(GOOD, "postgresql://a:1@h/d") == hash_of(GOOD, "postgresql://a:2@h/d")
    assert hash_of(GOOD, "x") != hash_of(GOOD.replace("[0, 120]", "[0, 121]"), "x")


SCRAPS = st.sampled_from(
    ["", "~", "[]", "{}", "-1", "1e999", "[1, 2]", "{a: b}", "true", "x: y", "*a", "&a b", "!!x y", "::"]
)


@given(line=st.integers(0, GOOD.count("\n") - 1), scrap=SCRAPS, cut=st.booleans())
@example(line=0, scrap="", cut=True)
def test_no_text_ends_in_a_traceback(line: int, scrap: str, cut: bool) -> None:
    lines = GOOD.splitlines()
    key, colon, _ = lines[line].partition(":")
    lines[line : line + 1] = [] if cut else [f"{key}{colon} {scrap}"]
    loaded, wrong = load_text("p.yaml", "\n".join(lines), ENV)
    assert all(p.startswith("p.yaml:") and ";" in p for p in wrong)
    assert loaded is not None or wrong
