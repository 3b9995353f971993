"""Private statements over the extended protocol: every row of the session's table."""

from __future__ import annotations

import struct

import pytest
from wirekit import (
    FLUSH,
    SYNC,
    GateThread,
    Raw,
    bind,
    close,
    columns,
    describe,
    error,
    errors,
    execute,
    kinds,
    parse,
    query,
    rows,
    status,
    tags,
)

from noisegate.wire import messages as m

PRIVATE = "SELECT id, v FROM secret ORDER BY id"


def test_private_statement_with_everything(raw: Raw, gate: GateThread) -> None:
    replies = raw.ask(
        parse("s", "SELECT id, v AS value FROM secret WHERE id <= $1 ORDER BY id"),
        describe("S", "s"),
        bind("p", "s", ["2"]),
        describe("P", "p"),
        execute("p"),
        SYNC,
    )
    assert kinds(replies) == "1tT2TDDNCZ"
    assert rows(replies) == [["1", "1.25"], ["2", "2.25"]]
    assert columns(replies)[1][0] == "value"
    (question,) = gate.gate.questions
    assert question.param_types == (23,)
    assert question.has_params
    assert [outcome for _, _, outcome in gate.gate.finishes] == ["ok"]


def test_statement_prepared_once_and_executed_often(raw: Raw, gate: GateThread) -> None:
    assert kinds(raw.ask(parse("s", PRIVATE), SYNC)) == "1Z"
    for _ in range(3):
        assert len(rows(raw.ask(bind("", "s"), execute(), SYNC))) == 5
    assert len(gate.gate.questions) == 3
    assert kinds(raw.ask(close("S", "s"), SYNC)) == "3Z"
    assert error(raw.ask(bind("", "s"), SYNC))["C"] == "26000"


def test_binary_results_have_the_clients_formats(raw: Raw) -> None:
    text = "SELECT id FROM secret WHERE id = 3"
    replies = raw.ask(parse("", text), bind(binary=True), describe("P"), execute(), SYNC)
    body = next(body for kind, body in replies if kind == "D")
    assert body == struct.pack("!hii", 1, 4, 3)


def test_parameters_reach_the_gate_in_binary_whatever_the_input(raw: Raw, gate: GateThread) -> None:
    raw.query("SET DateStyle = 'SQL, DMY'")
    text = "SELECT /*params*/ id FROM secret WHERE d <> $1::date"
    assert kinds(raw.ask(parse("", text), bind(params=["03/02/2000"]), execute(), SYNC)).endswith("NCZ")
    assert gate.gate.hidden_rows == [[(struct.pack("!i", 33),)]]  # 2000-02-03
    raw.ask(parse("", text), bind(params=[None]), execute(), SYNC)
    assert gate.gate.hidden_rows[1] == [(None,)]


def test_bind_errors_are_native(raw: Raw, gate: GateThread) -> None:
    replies = raw.ask(parse("", "SELECT id FROM secret WHERE id = $1"), bind(params=["x"]), execute(), SYNC)
    assert (kinds(replies), error(replies)["C"]) == ("1EZ", "22P02")
    wrong_count = raw.ask(parse("", "SELECT id FROM secret WHERE id = $1"), bind(), execute(), SYNC)
    assert error(wrong_count)["C"] == "08P01"
    assert not gate.gate.questions
    assert [outcome for _, outcome in gate.gate.relays] == ["22P02", "08P01"]


def test_row_limits_in_one_pipeline_and_across_sync(raw: Raw, gate: GateThread) -> None:
    replies = raw.ask(parse("", PRIVATE), bind("p"), execute("p", 2), execute("p", 2), execute("p", 2), SYNC)
    assert kinds(replies) == "12DDNsDDsDCZ"
    assert tags(replies) == ["SELECT 1"]
    assert len(gate.gate.questions) == len(gate.gate.finishes) == 1
    raw.query("BEGIN")
    assert kinds(raw.ask(parse("s", PRIVATE), bind("p", "s"), execute("p", 2), SYNC)) == "12DDNsZ"
    assert rows(raw.ask(execute("p", 2), SYNC)) == [["3", "3.25"], ["4", "4.25"]]
    assert kinds(raw.ask(describe("P", "p"), close("P", "p"), SYNC)) == "T3Z"
    assert error(raw.ask(execute("p", 2), SYNC))["C"] == "34000"
    assert len(gate.gate.questions) == 2


def test_portal_bound_before_sync_and_executed_after(raw: Raw, gate: GateThread) -> None:
    raw.query("BEGIN")
    assert kinds(raw.ask(parse("s", PRIVATE), bind("p", "s"), SYNC)) == "12Z"
    assert len(rows(raw.ask(execute("p"), SYNC))) == 5
    assert status(raw.query("COMMIT")) == "I"
    assert error(raw.ask(execute("p"), SYNC))["C"] == "34000"
    assert len(gate.gate.questions) == 1


def test_a_replaced_unnamed_portal_is_not_taken_for_the_old_one(raw: Raw, gate: GateThread) -> None:
    raw.query("BEGIN")
    first = raw.ask(parse("", "EXPLAIN SELECT /*plan*/ 1 FROM secret"), bind(), execute(), SYNC)
    assert tags(first) == ["EXPLAIN"]
    second = raw.ask(parse("", "SELECT 4"), bind(), execute(), SYNC)
    assert (rows(second), tags(second)) == ([["4"]], ["SELECT 1"])
    third = raw.ask(parse("", "SELECT id FROM secret LIMIT 1"), bind(), execute(), SYNC)
    assert (rows(third), tags(third)) == ([["1"]], ["SELECT 1"])


def test_refused_duplicate_parse_keeps_the_old_meaning(raw: Raw, gate: GateThread) -> None:
    raw.ask(parse("s", "SELECT id FROM secret LIMIT 1"), SYNC)
    replies = raw.ask(parse("s", "SELECT 99"), SYNC)
    assert error(replies)["C"] == "42P05"
    assert rows(raw.ask(bind("", "s"), execute(), SYNC)) == [["1"]]
    raw.ask(parse("h", "SELECT 5"), SYNC)
    assert error(raw.ask(parse("h", PRIVATE), SYNC))["C"] == "42P05"
    assert rows(raw.ask(bind("", "h"), execute(), SYNC)) == [["5"]]
    assert len(gate.gate.questions) == 1


def test_duplicate_parse_and_execute_in_flight(raw: Raw, gate: GateThread) -> None:
    raw.ask(parse("s", "SELECT id FROM secret LIMIT 1"), SYNC)
    raw.send(parse("s", "SELECT 99"), SYNC, bind("", "s"), execute(), SYNC)
    assert errors(raw.until("Z"))[0]["C"] == "42P05"
    assert rows(raw.until("Z")) == [["1"]]
    assert gate.gate.questions[0].text == "SELECT id FROM secret LIMIT 1"


def test_pipeline_with_an_error_in_the_middle(raw: Raw, gate: GateThread) -> None:
    def one(text: str) -> bytes:
        return parse("", text) + bind() + execute()

    raw.send(one("SELECT 1"), one("SELECT id FROM secret LIMIT 1"), one("SELECT 1/0"), one(PRIVATE), one("SELECT 2"))
    raw.send(SYNC, one("SELECT 3"), one("SELECT id FROM secret LIMIT 1"), SYNC, query("SELECT 4"))
    first, second, third = (raw.until("Z") for _ in range(3))
    assert kinds(first) == "12DC12DNC1EZ"
    assert rows(second) == [["3"], ["1"]]
    assert rows(third) == [["4"]]
    assert len(gate.gate.questions) == 2
    assert gate.gate.relays == [("SELECT 1", "ok"), ("SELECT 1/0", "22012"), ("SELECT 3", "ok"), ("SELECT 4", "ok")]


def test_refusal_in_a_pipeline_skips_to_sync(raw: Raw, gate: GateThread) -> None:
    raw.send(parse("", "CREATE TEMP TABLE gone(x int)"), bind(), execute())
    raw.send(parse("", "SELECT /*refuse*/ id FROM secret"), describe("S"), bind(), execute(), FLUSH)
    raw.send(parse("", "SELECT 1"), bind(), execute(), SYNC)
    replies = raw.until("Z")
    assert kinds(replies) == "12C1tT2EZ"
    assert error(replies)["M"] == "rows are never shown"
    assert error(replies)["P"] == str("SELECT /*refuse*/ id FROM secret".index("secret") + 1)
    assert error(raw.query("SELECT * FROM gone"))["C"] == "42P01"


def test_refused_kind_at_parse(raw: Raw, gate: GateThread) -> None:
    replies = raw.ask(parse("", "VACUUM"), describe("S"), bind(), execute(), SYNC)
    assert (kinds(replies), error(replies)["C"]) == ("EZ", "42501")
    assert gate.gate.relays == [("VACUUM", "42501")]
    assert kinds(raw.ask(parse("", "SELECT 1"), bind(), execute(), SYNC)) == "12DCZ"


def test_refusal_in_a_transaction_between_syncs(raw: Raw) -> None:
    raw.query("BEGIN")
    raw.ask(parse("s", "SELECT /*budget*/ id FROM secret"), bind("p", "s"), SYNC)
    replies = raw.ask(execute("p"), execute("p"), SYNC)
    assert (kinds(replies), error(replies)["C"], status(replies)) == ("EZ", "53400", "E")
    assert status(raw.query("ROLLBACK")) == "I"


@pytest.mark.parametrize("mark", ["crash", "badsql", "hiddenfail", "wrongtype"])
def test_faults_in_a_pipeline(raw: Raw, gate: GateThread, mark: str) -> None:
    replies = raw.ask(parse("", f"SELECT /*{mark}*/ id FROM secret"), bind(), execute(), execute(), SYNC)
    assert (kinds(replies), error(replies)["C"]) == ("12EZ", "XX000")
    assert [outcome for _, _, outcome in gate.gate.finishes] == ["XX000"]
    assert kinds(raw.ask(parse("", PRIVATE), bind(), execute(), SYNC)) == "12DDDDDNCZ"


def test_failed_transaction(raw: Raw, gate: GateThread) -> None:
    raw.query("BEGIN")
    raw.ask(parse("s", PRIVATE), bind("p", "s"), SYNC)
    raw.query("SELECT 1/0")
    assert error(raw.ask(execute("p"), SYNC))["C"] == "25P02"
    assert error(raw.ask(parse("", PRIVATE), bind(), execute(), SYNC))["C"] == "25P02"
    assert status(raw.query("ROLLBACK")) == "I"


def test_flush_gives_the_answer_before_sync(raw: Raw) -> None:
    raw.send(parse("", PRIVATE), bind(), describe("P"), execute(), FLUSH)
    assert kinds(raw.until("C")) == "12TDDDDDNC"
    assert kinds(raw.ask(SYNC)) == "Z"


@pytest.mark.parametrize(
    "message",
    [parse("_ngx", "SELECT 1"), bind("_ng_p", ""), describe("S", "_ng_s"), close("P", "_ngp"), execute("_ng_p")],
)
def test_reserved_names_are_refused(raw: Raw, message: bytes) -> None:
    replies = raw.ask(message, parse("", "SELECT 1"), SYNC)
    assert (kinds(replies), error(replies)["C"]) == ("EZ", "42602")
    assert kinds(raw.query("SELECT 1")) == "TDCZ"


def test_deallocate_and_discard_forget_names(raw: Raw, gate: GateThread) -> None:
    for forget in ("DEALLOCATE s", "DEALLOCATE ALL", "DISCARD ALL"):
        assert kinds(raw.ask(parse("s", "SELECT id FROM secret LIMIT 1"), SYNC)) == "1Z"
        assert kinds(raw.query(forget)) in ("CZ", "SCZ", "SSCZ")
        assert error(raw.ask(bind("", "s"), execute(), SYNC))["C"] == "26000"
        assert kinds(raw.ask(parse("s", "SELECT id, v FROM secret"), SYNC)) == "1Z"
        assert len(rows(raw.ask(bind("", "s"), execute(), SYNC))) == 5
        raw.ask(close("S", "s"), SYNC)


def test_deallocate_of_one_keeps_the_others_private(raw: Raw, gate: GateThread) -> None:
    raw.ask(parse("a", "SELECT 1"), parse("b", "SELECT id FROM secret WHERE id < $1"), SYNC)
    raw.query("DEALLOCATE a")
    assert rows(raw.ask(bind("", "b", ["2"]), execute(), SYNC)) == [["1"]]
    assert gate.gate.questions[0].param_types == (23,)
    raw.query("DEALLOCATE b")
    raw.query("PREPARE b AS SELECT /*relay*/ v FROM secret")
    replies = raw.ask(bind("", "b"), execute(), SYNC)
    assert error(replies)["C"] == "0A000"
    assert gate.gate.questions[-1].text == "PREPARE b AS SELECT /*relay*/ v FROM secret"


def test_rollback_ends_portals(raw: Raw, gate: GateThread) -> None:
    raw.query("BEGIN")
    raw.ask(parse("s", PRIVATE), bind("p", "s"), SYNC)
    raw.query("ROLLBACK")
    assert error(raw.ask(execute("p"), SYNC))["C"] == "34000"
    raw.query("BEGIN")
    raw.ask(parse("", "SAVEPOINT a"), bind(), execute(), bind("p", "s"), SYNC)
    raw.query("ROLLBACK TO a")
    assert error(raw.ask(execute("p"), SYNC))["C"] == "34000"
    assert not gate.gate.questions


def test_function_call_is_refused(raw: Raw) -> None:
    replies = raw.ask(m.frame(b"F", b"\0\0\0\1" + b"\0\0\0\0\0\0"))
    assert (kinds(replies), error(replies)["C"]) == ("EZ", "0A000")
    assert kinds(raw.query("SELECT 1")) == "TDCZ"


def test_unknown_message_is_fatal(raw: Raw) -> None:
    raw.send(m.frame(b"!", b"x"))
    assert error(raw.until("E"))["V"] == "FATAL"
    assert raw.at_end()


def test_declare_in_a_pipeline_means_what_it_means_without_the_gate(raw: Raw) -> None:
    first = raw.ask(parse("", "DECLARE c CURSOR FOR SELECT 1"), bind(), execute(), SYNC)
    assert error(first)["C"] == "25P01"
    step = parse("", "SELECT 1") + bind() + execute()
    later = raw.ask(step, parse("", "DECLARE c CURSOR FOR SELECT id FROM secret"), bind(), execute(), SYNC)
    assert tags(later) == ["SELECT 1", "DECLARE CURSOR"]


def test_copy_in_to_a_temp_table(raw: Raw) -> None:
    raw.query("CREATE TEMP TABLE mine(x int)")
    raw.send(query("COPY mine FROM STDIN"))
    assert kinds([raw.read()]) == "G"
    done = raw.ask(m.frame(b"d", b"1\n2\n"), m.frame(b"d", b"3\n"), m.frame(b"c"))
    assert (kinds(done), tags(done)) == ("CZ", ["COPY 3"])
    assert rows(raw.query("SELECT sum(x) FROM mine")) == [["6"]]
    bad = raw.ask(query("COPY mine FROM STDIN"), m.frame(b"d", b"nonsense\n"), m.frame(b"c"))
    assert (kinds(bad), error(bad)["C"]) == ("GEZ", "22P02")
    assert len(rows(raw.query("SELECT id FROM secret"))) == 5
    failed = raw.ask(query("COPY mine FROM STDIN"), m.frame(b"f", b"no more\0"))
    assert error(failed)["C"] == "57014"


def test_copy_in_by_extended_messages(raw: Raw) -> None:
    raw.query("CREATE TEMP TABLE mine(x int)")
    raw.send(parse("", "COPY mine FROM STDIN"), bind(), execute(), SYNC)
    assert kinds(raw.until("G")) == "12G"
    done = raw.ask(m.frame(b"d", b"1\n"), m.frame(b"c"), SYNC)
    assert (kinds(done), tags(done)) == ("CZ", ["COPY 1"])
    assert len(rows(raw.query("SELECT id FROM secret"))) == 5
    at_once = [parse("", "COPY mine FROM STDIN"), bind(), execute(), m.frame(b"d", b"5\n"), m.frame(b"c"), SYNC]
    assert kinds(raw.ask(*at_once)) == "12GCZ"
    raw.send(parse("", "COPY mine FROM STDIN"), bind(), execute(), SYNC)
    raw.until("G")
    bad = raw.ask(m.frame(b"d", b"nonsense\n"), m.frame(b"c"), SYNC)
    assert (kinds(bad), error(bad)["C"]) == ("EZ", "22P02")
    assert rows(raw.query("SELECT sum(x) FROM mine")) == [["6"]]


def test_a_query_during_copy_in_ends_the_session(raw: Raw) -> None:
    raw.query("CREATE TEMP TABLE mine(x int)")
    raw.send(query("COPY mine FROM STDIN"))
    raw.until("G")
    raw.send(query("SELECT id FROM secret"))
    assert error(raw.until("E"))["C"] == "08P01"
    assert raw.at_end()


def test_copy_in_in_front_of_a_held_statement_does_not_hang(raw: Raw) -> None:
    raw.query("CREATE TEMP TABLE mine(x int)")
    raw.send(query("COPY mine FROM STDIN"), query("SELECT id FROM secret"))
    assert error(raw.until("Z"))["C"] == "57014"
    assert len(rows(raw.until("Z"))) == 5
    batch = raw.query("SELECT id FROM secret LIMIT 1; COPY mine FROM STDIN")
    assert error(batch)["C"] == "57014"
    assert kinds(raw.query("SELECT 1")) == "TDCZ"


def test_long_messages_both_ways(raw: Raw) -> None:
    text = "x" * 5_000_000
    replies = raw.ask(parse("", "SELECT $1::text"), bind(params=[text]), execute(), SYNC)
    assert rows(replies) == [[text]]
    assert rows(raw.query("SELECT repeat('y', 3000000), 1")) == [["y" * 3_000_000, "1"]]
    raw.send(b"Q" + struct.pack("!I", 17 << 20))
    assert error(raw.until("E"))["C"] == "08P01"


def test_notifications_and_settings_pass(raw: Raw) -> None:
    assert "S" in kinds(raw.query("SET application_name = 'other'"))
    raw.query("LISTEN a")
    assert "A" in kinds(raw.query("NOTIFY a, 'x'"))


def test_relayed_answer_keeps_the_rooms_positions(raw: Raw, gate: GateThread) -> None:
    replies = raw.ask(parse("", "   SELECT /*relay*/ id FROM secret LIMIT 0"), bind(), execute(), SYNC)
    assert (kinds(replies), tags(replies)) == ("12CZ", ["SELECT 0"])
    tripped = raw.ask(parse("", "SELECT /*relay*/ id FROM secret"), bind(), execute(), SYNC)
    assert (error(tripped)["C"], gate.gate.finishes[1][2]) == ("0A000", "NG001")
