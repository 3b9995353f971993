"""Private statements over the simple protocol."""

from __future__ import annotations

import struct

import pytest
from wirekit import (
    SYNC,
    GateThread,
    Raw,
    bind,
    columns,
    error,
    errors,
    eventually,
    execute,
    kinds,
    parse,
    query,
    rows,
    status,
    tags,
)


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


def test_row_description_has_the_table_of_the_original(raw: Raw) -> None:
    replies = raw.query("SELECT v FROM secret LIMIT 1")
    body = next(body for kind, body in replies if kind == "T")
    table = struct.unpack_from("!I", body, 2 + len(b"v\0"))[0]
    (looked_up,) = rows(raw.query("SELECT relname::text FROM pg_class WHERE oid = " + str(table)))
    assert looked_up == ["secret"]


def test_notice_comes_right_before_command_complete(raw: Raw) -> None:
    replies = raw.query("SELECT id FROM secret")
    index = kinds(replies).index("N")
    assert kinds(replies)[index + 1] == "C"
    assert b"Mprice: 0.5\0Dleft: 9.5" in replies[index][1]


def test_native_errors_of_names_and_positions(raw: Raw, gate: GateThread, direct: object) -> None:
    text = "SELECT 1;  SELECT 'é', nope FROM secret"
    replies = raw.query(text)
    assert error(replies)["C"] == "42703"
    assert error(replies)["P"] == str(text.index("nope") + 1)
    assert not gate.gate.questions
    assert gate.gate.relays[-1] == ("SELECT 'é', nope FROM secret", "42703")
    single = raw.query("   SELECT 'é', nope FROM secret")
    assert error(single)["P"] == str("   SELECT 'é', nope".index("nope") + 1)
    assert kinds(single) == "EZ"
    assert rows(raw.query("SELECT 1")) == [["1"]]


def test_refusal_has_only_its_own_fields(raw: Raw, gate: GateThread) -> None:
    text = "  SELECT 'é' /*refuse*/, * FROM secret"
    replies = raw.query(text)
    assert kinds(replies) == "EZ"
    fields = error(replies)
    assert fields == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "rows are never shown",
        "D": "the détail",
        "H": "the hint",
        "P": str(text.index("secret") + 1),
    }
    assert [(answer, outcome) for _, answer, outcome in gate.gate.finishes] == [(None, "42501")]
    assert rows(raw.query("SELECT 1")) == [["1"]]


def test_refusal_aborts_the_transaction(raw: Raw) -> None:
    raw.query("BEGIN")
    assert status(raw.query("SELECT /*budget*/ 1 FROM secret")) == "E"
    failed = raw.query("SELECT id FROM secret")
    assert error(failed)["C"] == "25P02"
    assert kinds(failed) == "EZ"
    assert status(failed) == "E"
    assert tags(raw.query("ROLLBACK")) == ["ROLLBACK"]


def test_refused_kind(raw: Raw, gate: GateThread) -> None:
    replies = raw.query(" DO $$ BEGIN END $$")
    assert error(replies)["C"] == "42501"
    assert error(replies)["P"] == "2"
    assert gate.gate.relays == [("DO $$ BEGIN END $$", "42501")]
    assert kinds(raw.query("SELECT 1; ALTER TABLE noisy ADD x int")) == "TDCEZ"


def test_transaction_state_is_seen_by_the_gate(raw: Raw, gate: GateThread) -> None:
    raw.query("BEGIN")
    assert status(raw.query("SELECT id FROM secret")) == "T"
    assert gate.gate.questions[0].in_transaction
    assert status(raw.query("COMMIT")) == "I"


def test_tripwire_is_rewritten_and_reported(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("SELECT count(*) FROM hides")
    fields = error(replies)
    assert fields["C"] == "0A000"
    assert fields["M"] == "this statement reads a private table in a way that noisegate does not recognise"
    assert "W" not in fields
    assert gate.gate.relays == [("SELECT count(*) FROM hides", "NG001")]


def test_other_types_are_never_sent(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("SELECT /*wrongtype*/ id FROM secret")
    assert kinds(replies) == "EZ"
    assert error(replies)["C"] == "XX000"
    assert gate.gate.finishes[0][2] == "XX000"


@pytest.mark.parametrize("mark", ["crash", "badsql", "hiddenfail", "swallow"])
def test_faults_become_one_constant_text(raw: Raw, gate: GateThread, mark: str) -> None:
    replies = raw.query(f"SELECT /*{mark}*/ id FROM secret")
    assert kinds(replies) == "EZ"
    assert error(replies) == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "XX000",
        "M": "noisegate could not complete this statement",
    }
    assert [outcome for _, _, outcome in gate.gate.finishes] == ["XX000"]
    assert rows(raw.query("SELECT id FROM secret WHERE id = 1")) == [["1"]]


def test_error_of_the_rewritten_statement_has_no_position(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("SELECT /*raises*/ count(*) FROM secret")
    assert error(replies)["C"] == "22012"
    assert not {"P", "p", "q"} & set(error(replies))
    assert gate.gate.finishes[0][2] == "22012"


def test_answer_may_say_relay(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("SELECT /*relay*/ id FROM secret LIMIT 0")
    assert kinds(replies) == "TCZ"
    assert tags(replies) == ["SELECT 0"]
    tripped = raw.query("SELECT /*relay*/ id FROM secret")
    assert error(tripped)["C"] == "0A000"
    assert gate.gate.finishes[1][2] == "NG001"


def test_tag_is_replaced(raw: Raw) -> None:
    replies = raw.query("EXPLAIN SELECT /*plan*/ id FROM secret")
    assert tags(replies) == ["EXPLAIN"]
    assert rows(replies) == [["a plan"], ["of two lines"]]


def test_hidden_query(raw: Raw, gate: GateThread) -> None:
    assert kinds(raw.query("SELECT /*hidden*/ id FROM secret LIMIT 1")) == "TDNCZ"
    assert gate.gate.hidden_rows == [[(struct.pack("!i", 7), None)]]
    raw.query("BEGIN")
    assert kinds(raw.query("SELECT /*hidden*/ id FROM secret LIMIT 1")) == "TDNCZ"


def test_batch_with_a_private_statement(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("SELECT 1 AS one; SELECT id FROM secret WHERE id = 2; CREATE TEMP TABLE b(x int); SELECT 3")
    assert kinds(replies) == "TDCTDNCCTDCZ"
    assert rows(replies) == [["1"], ["2"], ["3"]]
    assert tags(replies) == ["SELECT 1", "SELECT 1", "CREATE TABLE", "SELECT 1"]
    assert [outcome for _, outcome in gate.gate.relays] == ["ok"] * 3


def test_batch_is_one_implicit_transaction(raw: Raw, gate: GateThread) -> None:
    replies = raw.query("CREATE TEMP TABLE gone(x int); SELECT id FROM secret; SELECT 1/0; SELECT 9")
    assert kinds(replies) == "CTDDDDDNCEZ"
    assert error(replies)["C"] == "22012"
    assert status(replies) == "I"
    assert error(raw.query("SELECT * FROM gone"))["C"] == "42P01"
    assert gate.gate.relays[:2] == [("CREATE TEMP TABLE gone(x int)", "ok"), ("SELECT 1/0", "22012")]


def test_batch_with_begin_declare_and_isolation(raw: Raw) -> None:
    text = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT id FROM secret LIMIT 1; SHOW transaction_isolation; COMMIT"
    assert rows(raw.query(text)) == [["1"], ["repeatable read"]]
    declared = raw.query("DECLARE c CURSOR FOR SELECT id FROM secret ORDER BY 1; FETCH 2 FROM c")
    assert rows(declared) == [["1"], ["2"]]
    assert tags(declared) == ["DECLARE CURSOR", "FETCH 2"]
    assert error(raw.query("SAVEPOINT a; SELECT id FROM secret"))["C"] == "25P01"


def test_batch_syntax_error_runs_nothing(raw: Raw, gate: GateThread) -> None:
    for begin in ("SELECT 0", "BEGIN"):
        raw.query(begin)
        text = "CREATE TEMP TABLE gone(x int); SELECT id FROM secret; SELEC 1"
        replies = raw.query(text)
        assert kinds(replies) == "EZ"
        assert error(replies)["C"] == "42601"
        assert error(replies)["P"] == str(text.index("SELEC 1") + 1)
        assert not gate.gate.questions
    assert status(raw.query("ROLLBACK")) == "I"


def test_batch_in_a_transaction_and_a_failed_one(raw: Raw) -> None:
    raw.query("BEGIN")
    replies = raw.query("SELECT 1; SELECT id FROM secret LIMIT 1")
    assert (kinds(replies), status(replies)) == ("TDCTDNCZ", "T")
    raw.query("SELECT 1/0")
    assert error(raw.query("SELECT 1; SELECT id FROM secret"))["C"] == "25P02"
    recovered = raw.query("ROLLBACK; SELECT id FROM secret LIMIT 1")
    assert (kinds(recovered), status(recovered)) == ("CTDNCZ", "I")


def test_copy_out(raw: Raw) -> None:
    replies = raw.query("COPY (SELECT id, t FROM secret ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)")
    assert kinds(replies).replace("d", "") == "HcNCZ"
    assert b"".join(body for kind, body in replies if kind == "d").splitlines()[:2] == [b"id,t", b"1,row 1"]
    assert tags(replies) == ["COPY 5"]


def test_simple_queries_in_flight_with_an_error_between(raw: Raw, gate: GateThread) -> None:
    texts = ["SELECT 1", "SELECT id FROM secret WHERE id=1", "SELECT 1/0"]
    texts += ["SELECT /*budget*/ 1 FROM secret", "SELECT 2"]
    raw.send(*map(query, texts))
    answers = [raw.until("Z") for _ in texts]
    assert [kinds(answer).replace("T", "") for answer in answers] == ["DCZ", "DNCZ", "EZ", "EZ", "DCZ"]
    assert [error(answers[2])["C"], error(answers[3])["C"]] == ["22012", "53400"]
    assert [text for text, _ in gate.gate.relays] == ["SELECT 1", "SELECT 1/0", "SELECT 2"]


def test_simple_query_destroys_the_unnamed_statement_and_portal(raw: Raw) -> None:
    for text in ("SELECT id FROM secret", "SELECT 1"):
        assert kinds(raw.ask(parse("", "SELECT 2"), SYNC)) == "1Z"
        raw.query(text)
        assert error(raw.ask(bind(), SYNC))["C"] == "26000"
    raw.query("BEGIN")
    assert kinds(raw.ask(parse("", "SELECT id FROM secret"), bind(), SYNC)) == "12Z"
    raw.query("SELECT id FROM secret")
    assert error(raw.ask(execute(), SYNC))["C"] == "34000"


def test_temp_objects_and_ctas(raw: Raw) -> None:
    assert tags(raw.query("CREATE TEMP TABLE mine AS SELECT id, v FROM secret")) == ["SELECT 5"]
    assert rows(raw.query("SELECT sum(v) FROM mine")) == [["16.25"]]


def test_text_that_is_not_utf8(raw: Raw, gate: GateThread) -> None:
    from noisegate.wire.messages import frame

    replies = raw.ask(frame(b"Q", b"SELECT '\xff'\0"))
    assert (kinds(replies), error(replies)["C"]) == ("EZ", "22021")
    extended = raw.ask(frame(b"P", b"\0SELECT '\xff'\0\0\0"), bind(), SYNC)
    assert (kinds(extended), error(extended)["C"]) == ("EZ", "22021")
    assert rows(raw.query("SELECT 1")) == [["1"]]


def test_standard_conforming_strings_is_put_back(raw: Raw, gate: GateThread) -> None:
    raw.query("SET standard_conforming_strings = off")
    assert rows(raw.query("SHOW standard_conforming_strings")) == [["on"]]
    raw.query("BEGIN")
    raw.query("SET LOCAL standard_conforming_strings = off")
    assert rows(raw.query(r"SELECT 'a\'")) == [["a\\"]]
    raw.query("ROLLBACK")
    raw.query("SELECT set_config('standard_conforming_strings', 'off', false)")
    assert rows(raw.ask(parse("", r"SELECT 'a\'"), bind(), execute(), SYNC)) == [["a\\"]]
    assert rows(raw.query("SHOW standard_conforming_strings")) == [["on"]]


def test_other_client_encoding_ends_the_session(raw: Raw, gate: GateThread) -> None:
    raw.send(query("SET client_encoding = 'LATIN1'"))
    messages = []
    try:
        while True:
            messages.append(raw.read())
    except EOFError:
        pass
    assert errors(messages)[0]["C"] == "22023"
    assert errors(messages)[0]["V"] == "FATAL"
    assert eventually(lambda: len(gate.gate.departures) == 1)
