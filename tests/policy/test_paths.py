"""Paths to the unit over several hops and by keys of several columns: what `check` says, and what the snapshot has."""

from __future__ import annotations

import pytest

from noisegate.cli.check import read_facts
from noisegate.errors import PolicyError
from noisegate.plan.units import Hop, unit_path_of
from noisegate.policy.check import check
from noisegate.policy.load import LoadedPolicy, load_text
from noisegate.room.embedded import EmbeddedServer
from noisegate.room.source import load_snapshot
from support.servers import new_database

SCHEMA = """
CREATE TABLE users (id bigint PRIMARY KEY);
CREATE TABLE orders (no int, region varchar(2), user_id bigint NOT NULL REFERENCES users, seller bigint,
    code char(3) NOT NULL, PRIMARY KEY (no, region), UNIQUE (code));
CREATE TABLE lines (id int PRIMARY KEY, region text NOT NULL, order_no bigint NOT NULL,
    FOREIGN KEY (region, order_no) REFERENCES orders (region, no));
CREATE TABLE parts (line_id int NOT NULL REFERENCES lines, code char(3) NOT NULL REFERENCES orders (code),
    at date NOT NULL, line_day date, loose int, name text);
CREATE TABLE notes (user_id bigint NOT NULL REFERENCES users, line_id int REFERENCES lines);
"""
POLICY = """\
database: shop
dsn: x
unit: {table: users, key: id}
tables:
  users: {unit: id, columns: {id: }}
  orders: {unit: user_id, columns: {seller: }}
  lines: {unit: "(order_no, region) -> orders.user_id", columns: {id: }}
  parts:
    unit: line_id -> lines.(order_no, region) -> orders.user_id
    unprotected_units: [code]
    columns: {at: }
budgets:
  dataset: {epsilon: 10, delta: 1e-5}
  analyst: {epsilon: 1, delta: 1e-6}
"""


@pytest.fixture(scope="module")
def dsn(data_server: EmbeddedServer) -> str:
    return new_database(data_server, SCHEMA)


def _loaded(text: str) -> LoadedPolicy:
    loaded, problems = load_text("p.yaml", text, {})
    assert loaded is not None, problems
    assert not problems
    return loaded


def test_a_path_of_two_hops_by_keys_of_two_columns(dsn: str) -> None:
    """Intermediate columns and keys need not be named: they exist because they lead to the unit."""
    snapshot = load_snapshot(_loaded(POLICY).policy, dsn)
    path = unit_path_of(snapshot, ("public", "parts"))
    assert path.hops == (
        Hop(("line_id",), ("public", "lines"), ("id",)),
        Hop(("order_no", "region"), ("public", "orders"), ("no", "region")),  # in the policy's order
    )
    assert path.column == "user_id"
    names = {name[1]: [column.name for column in table.columns] for name, table in snapshot.tables.items()}
    assert names == {
        "users": ["id"],
        "orders": ["no", "region", "user_id", "seller"],
        "lines": ["id", "region", "order_no"],
        "parts": ["line_id", "at"],
    }


def test_a_primary_key_of_one_column_needs_no_foreign_key(dsn: str) -> None:
    policy = _loaded(POLICY.replace("line_id -> lines.", "loose -> lines.")).policy
    assert unit_path_of(load_snapshot(policy, dsn), ("public", "parts")).hops[0].target_columns == ("id",)


def test_a_path_that_fits_is_not_mentioned(dsn: str) -> None:
    said = [
        str(f) for f in check(_loaded(POLICY), read_facts(_loaded(POLICY).policy, dsn)) if "named nowhere" not in f.text
    ]
    assert not [text for text in said if ":5:" in text or ":7:" in text or ":9:" in text], said


@pytest.mark.parametrize(
    ("there", "instead", "severity", "line", "words"),
    [
        ("(order_no, region) -> orders", "(order_no, regoin) -> orders", "error", 7, "did you mean 'region'?"),
        ("line_id -> lines.(order_no", "line_id -> lines.(order_nr", "error", 9, "did you mean 'order_no'?"),
        (
            "    unit: line_id",
            "    unit: name",
            "error",
            9,
            "'name' (text) leads to 'lines.id' (integer); a chain needs",
        ),
        (
            "    unit: line_id -> lines.(order_no, region) -> orders",
            "    unit: loose -> orders",
            "error",
            9,
            "nothing says which columns of 'orders' 'loose' refers to; add a foreign key",
        ),
        (
            "    unit: line_id -> lines.(order_no, region) -> orders",
            "    unit: (loose, name) -> orders",
            "error",
            9,
            "nothing says which columns of 'orders' '(loose, name)' refers to; add a foreign key",
        ),
        ("    unprotected_units: [code]\n", "", "warning", 9, "'parts.code' names units, too"),
        (
            "{unit: user_id, columns: {seller: }}",
            "{unit: user_id, columns: {seller: }}\n  notes: {unit: user_id, columns: {}}",
            "note",
            7,
            "'notes.line_id' leads to units, too, through 'lines'; where they are not those of 'user_id'",
        ),
        ("[code]", "[code, cod]", "error", 10, "did you mean 'code'?"),
        ("    unit: line_id", "    unit: loose", "warning", 9, "'parts.line_id' names units, too"),
        ("    unit: line_id", "    unit: loose", "warning", 9, "'parts.loose' may be NULL"),
        (
            '  lines: {unit: "(order_no, region) -> orders.user_id", columns: {id: }}',
            "  lines: {public: true, columns: {id: }}",
            "warning",
            7,
            "its column '(region, order_no)' refers to 'orders'",
        ),
        (
            "{seller: }",
            "{no: {hidden: true}, seller: }",
            "error",
            6,
            "the chain of 'lines' needs 'no' to find the unit",
        ),
    ],
)
def test_what_check_says_of_paths(dsn: str, there: str, instead: str, severity: str, line: int, words: str) -> None:
    assert there in POLICY
    text = POLICY.replace(there, instead).replace(
        "unit: (loose, name) -> orders.user_id", 'unit: "(loose, name) -> orders.user_id"'
    )
    loaded, _ = load_text("p.yaml", text, {})
    assert loaded is not None
    said = [(f.severity, f.line, f.text) for f in check(loaded, read_facts(loaded.policy, dsn))]
    assert any(s == severity and at == line and words in text for s, at, text in said), said


def test_a_chain_to_columns_that_are_no_key_is_refused(data_server: EmbeddedServer) -> None:
    """A deferrable key does not hold at every moment: rows could belong to several units."""
    dsn = new_database(
        data_server,
        SCHEMA.replace("UNIQUE (code)", "UNIQUE (code) DEFERRABLE").replace(" REFERENCES orders (code)", ""),
    )
    text = POLICY.replace("line_id -> lines.(order_no, region) -> orders", "code -> orders")
    facts = read_facts(_loaded(text).policy, dsn)
    assert any("nothing says which columns of 'orders' 'code' refers to" in f.text for f in check(_loaded(text), facts))


def test_the_snapshot_refuses_a_hidden_step(dsn: str) -> None:
    with pytest.raises(PolicyError, match="column no leads to the privacy unit"):
        load_snapshot(_loaded(POLICY.replace("{seller: }", "{no: {hidden: true}}")).policy, dsn)
