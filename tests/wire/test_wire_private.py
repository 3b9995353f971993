"""Private statements over the simple protocol."""

from __future__ import annotations

from wirekit import GateThread, Raw, columns, kinds, rows, tags


def test_relayed_statement(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("SELECT 1 AS a, 'x' AS b; SELECT 2")
    assert kinds(replies) == "TDCTDCZ"
    assert rows(replies) == [["1", "x"], ["2"]]
    assert gate.gate.relays == [("SELECT 1 AS a, 'x' AS b", "ok"), ("SELECT 2", "ok")]
    assert not gate.gate.questions


def test_private_statement(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("SELECT id, v AS value, t FROM secret WHERE id < 3 ORDER BY id;")
    assert kinds(replies) == "TDDNCZ"
    assert rows(replies) == [["1", "1.25", "row 1"], ["2", "2.25", "row 2"]]
    assert [name for name, _, _ in columns(replies)] == ["id", "value", "t"]
    assert tags(replies) == ["SELECT 2"]
    (question,) = gate.gate.questions
    assert question.text == "SELECT id, v AS value, t FROM secret WHERE id < 3 ORDER BY id"
    assert [column.name for column in question.columns] == ["id", "value", "t"]
    assert question.columns[1].typmod == ((10 << 16) | 2) + 4
    assert not question.in_transaction
    assert question.identity.session == raw.pid
    assert [outcome for _, _, outcome in gate.gate.finishes] == ["ok"]
    assert gate.gate.relays == []
    assert rows(raw.query("SELECT 5")) == [["5"]]
