"""What is done while the client is held: private statements, refusals, texts of several statements.

Each flow is one walk from top to bottom; the room's replies are awaited in place. A flow ends in one of three ways:
everything sent, `Failed` (the client gets that error), or the session's end. Names of the gate's own statements and
portals are closed before they are used again, because the room does not close them after an error.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence

from noisegate.errors import Internal, NoisegateError, Unsupported
from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.asking import RoomQueries
from noisegate.wire.context import Context, Failed
from noisegate.wire.expect import EXECUTE, SYNC, Entry
from noisegate.wire.faults import fault
from noisegate.wire.gate import Answer, ColumnDescription, Question, Statement, Verdict
from noisegate.wire.names import Portal, Prepared
from noisegate.wire.refusals import hidden_failed, refuse, refuse_statement
from noisegate.wire.roomside import Reply, RoomError
from noisegate.wire.runs import PortalRun, PrivateRun, RelayedRun, now

log = logging.getLogger(__name__)

_ORIGINAL, _REWRITTEN, _PORTAL = b"_ng_o", b"_ng_s", b"_ng_p"
_SEVERAL = ("42601", "cannot insert multiple commands into a prepared statement")
BATCH_VERSION_MIN = 18  # older servers do not treat statements without Sync as one implicit transaction block


# --- simple Query ----------------------------------------------------------------------------------------------------


async def simple_query(context: Context, text: str, statements: Sequence[Statement]) -> None:
    """A Query with at least one statement that is not simply relayed. Ends with a Sync in the Query's place."""
    room = context.room
    await room.drain()
    if room.skip:
        return
    try:
        room.send_hidden(m.close_statement(b""), m.close_portal(b""))  # as a simple Query does
        room.names.simple_query()
        if len(statements) > 1:
            await _begin_batch(context, text)
        for statement in statements:
            await _one_of_text(context, statement)
            if len(statements) > 1:
                await room.drain()
            if room.skip:
                break
    except Failed as failed:
        context.client.write(m.error_response(failed.fields))
    room.skip = room.opened = False
    room.send(m.SYNC, Entry(SYNC))


async def _one_of_text(context: Context, statement: Statement) -> None:
    match statement.verdict:
        case Verdict.RELAY:
            await _relay_one(context, statement)
        case Verdict.PRIVATE:
            await _private_one(context, statement)
        case _:
            await refuse_statement(context, statement)


async def _begin_batch(context: Context, text: str) -> None:
    """Raise Failed for a text that PostgreSQL would refuse as a whole, then make what follows one implicit block."""
    room = context.room
    if context.server_version < BATCH_VERSION_MIN:
        await refuse(context, Unsupported("a text of several statements cannot contain a private one"), 0)
    in_transaction = room.tx == b"T"
    check = [m.close_statement(_ORIGINAL), m.Parse(_ORIGINAL, text.encode()).encode(), m.SYNC]
    if in_transaction:
        check = [m.query(b"SAVEPOINT _ng_b"), *check]
    try:
        await room.exchange(*check, own_sync=False)
    except RoomError as error:
        room.opened = False
        if (error.fields.get("C"), error.fields.get("M")) != _SEVERAL:  # the client's: its transaction stays failed
            context.gate.relayed(context.identity, text, error.fields.get("C", "XX000"), 0.0)
            raise Failed(error.fields) from None
    else:
        room.opened = False
        await refuse(
            context, Unsupported("noisegate and PostgreSQL do not agree on where this text's statements end"), 0
        )
    if in_transaction:
        await _undo_check(context)
    if room.tx == b"I":
        # Behind an executed message the room treats the rest as one block. SHOW takes no snapshot, so that BEGIN
        # ISOLATION LEVEL may still follow.
        await _hidden_step(context, b"SHOW lc_messages")


async def _undo_check(context: Context) -> None:
    try:
        await context.room.exchange(m.query(b"ROLLBACK TO _ng_b; RELEASE _ng_b"), own_sync=False)
    except RoomError as error:
        raise Failed(hidden_failed(error)) from None
    context.room.opened = False


async def _hidden_step(context: Context, sql: bytes) -> None:
    messages = [*_prepare(sql), m.execute(_PORTAL), m.close_portal(_PORTAL)]
    try:
        await context.room.exchange(*messages, own_sync=False)
    except RoomError as error:
        raise Failed(hidden_failed(error)) from None


async def _relay_one(context: Context, statement: Statement) -> None:
    """A statement without private names among others."""
    run = RelayedRun(context.gate, context.identity, (statement,), now(), statement.offset)
    try:
        replies = await context.room.exchange(*_prepare(statement.text.encode()), own_sync=False)
    except RoomError as error:
        raise Failed(run.failed(error.fields) or error.fields) from None
    _send_row_description(context, replies)
    context.room.send(m.execute(_PORTAL), Entry(EXECUTE, run=run))


async def _private_one(context: Context, statement: Statement) -> None:
    """One private statement of a simple Query: parsed as written, asked, and its answer run in its place."""
    original = await _describe_original(context, statement)
    columns = _columns(original)
    run, answer = await _ask(context, statement, columns, None, (), statement.offset)
    sql = statement.text if answer.relay else answer.sql
    try:
        replies = await context.room.exchange(*_prepare(sql.encode()), own_sync=False)
    except RoomError as error:
        raise _rewritten_failed(run, error) from None
    await _check_columns(context, run, columns, _columns(replies))
    _send_row_description(context, original)
    context.room.send(m.execute(_PORTAL), Entry(EXECUTE, run=run))


async def _describe_original(context: Context, statement: Statement) -> list[Reply]:
    started = now()
    parse = m.Parse(_ORIGINAL, statement.text.encode()).encode()
    name = _ORIGINAL
    try:
        return await context.room.exchange(
            m.close_statement(name), parse, m.describe_statement(name), m.close_statement(name)
        )
    except RoomError as error:  # the client's own error: names, types, a failed transaction
        context.gate.relayed(context.identity, statement.text, error.fields.get("C", "XX000"), now() - started)
        raise Failed(reports.shifted(error.fields, statement.offset)) from None


def _prepare(sql: bytes) -> list[bytes]:
    """Parse and bind one of the gate's own portals; describe its result as a simple Query would show it."""
    return [
        m.close_portal(_PORTAL),
        m.close_statement(_REWRITTEN),
        m.Parse(_REWRITTEN, sql).encode(),
        m.Bind(_PORTAL, _REWRITTEN).encode(),
        m.describe_statement(_REWRITTEN),
        m.close_statement(_REWRITTEN),
    ]


def _send_row_description(context: Context, replies: Sequence[Reply]) -> None:
    for kind, body in replies:
        if kind == ord("T"):
            context.client.write(m.frame(b"T", body))


# --- extended protocol -----------------------------------------------------------------------------------------------


async def execute_portal(context: Context, name: bytes, message: bytes) -> None:
    """An Execute that may mean a private statement."""
    room = context.room
    await room.drain()
    if room.skip:
        return
    portal = room.names.portals.get(name)
    if portal is not None and portal.prepared is None and portal.body is not None:
        portal.prepared = await _look_up(context, portal)
    if portal is None or portal.prepared is None or portal.run is not None or portal.prepared.relayed:
        run = portal.run if portal is not None else None
        run = run or PortalRun(context.gate, context.identity, room.names, name, now())
        room.opened = True
        room.send(message, Entry(EXECUTE, run=run))
        return
    await _execute_private(context, portal, portal.prepared, message)


async def _execute_private(context: Context, portal: Portal, prepared: Prepared, message: bytes) -> None:
    if len(prepared.statements) != 1:
        await refuse(
            context, Unsupported("noisegate and PostgreSQL do not agree on where this text's statement ends"), 0
        )
    statement, bind = prepared.statements[0], portal.bind()
    if statement.verdict is Verdict.REFUSE or bind is None:
        await refuse_statement(context, statement)
    assert bind is not None  # refuse_statement raises
    portal.reported = True
    run, answer = await _ask(context, statement, prepared.columns, bind, prepared.param_types, 0)
    if not answer.relay:
        await _rebind(context, run, answer, prepared, bind)
    portal.run = run
    context.room.opened = True
    context.room.send(message, Entry(EXECUTE, run=run))


async def _rebind(context: Context, run: PrivateRun, answer: Answer, prepared: Prepared, bind: m.Bind) -> None:
    """Put the rewritten statement under the client's own portal: later Executes, Describes and Closes are native."""
    try:
        replies = await context.room.exchange(
            m.close_portal(bind.portal),
            m.close_statement(_REWRITTEN),
            m.Parse(_REWRITTEN, answer.sql.encode(), prepared.param_types).encode(),
            m.Bind(bind.portal, _REWRITTEN, bind.params, bind.formats).encode(),
            m.describe_statement(_REWRITTEN),
            m.close_statement(_REWRITTEN),
            own_sync=False,
        )
    except RoomError as error:
        raise _rewritten_failed(run, error) from None
    await _check_columns(context, run, prepared.columns, _columns(replies))


async def _look_up(context: Context, portal: Portal) -> Prepared | None:
    """A statement whose name was forgotten (DEALLOCATE) or never seen (PREPARE): the room knows its text."""
    literal = "'" + portal.statement.decode("utf-8", "replace").replace("'", "''") + "'"
    sql = f"SELECT statement::text FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) {literal}"
    try:
        rows = await context.room.exchange(*_query_messages(sql))
        text = next((value for kind, body in rows if kind == ord("D") for value in m.decode_data_row(body)), None)
        if text is None:
            return None
        described = await context.room.exchange(m.describe_statement(portal.statement))
    except RoomError as error:
        raise Failed(hidden_failed(error)) from None
    decoded = text.decode()
    prepared = Prepared(portal.statement, decoded, tuple(context.gate.classify(decoded)))
    learn(prepared, described)
    context.room.names.statements[portal.statement] = prepared
    return prepared


def learn(prepared: Prepared, replies: Sequence[Reply]) -> None:
    """Keep what a Describe of the statement told."""
    for kind, body in replies:
        if kind == ord("t"):
            prepared.param_types = m.decode_parameter_description(body)
    prepared.columns = _columns(replies)


# --- the gate's answer -----------------------------------------------------------------------------------------------


async def _ask(
    context: Context,
    statement: Statement,
    columns: tuple[ColumnDescription, ...],
    bind: m.Bind | None,
    param_types: tuple[int, ...],
    parsed_at: int,
) -> tuple[PrivateRun, Answer]:
    """The gate's answer. Raises Failed: refused (the room has raised it), cancelled, or a hidden statement failed.

    parsed_at: where in the client's text begins what the room parsed, in characters: an error of the statement as
    written has its position from there. Positions of refusals count from the statement's own start.
    """
    question = Question(
        identity=context.identity,
        text=statement.text,
        columns=columns,
        param_types=param_types,
        has_params=bind is not None and bool(param_types),
        parameters=m.readable_params(bind.params) if bind is not None else (),
        in_transaction=context.room.tx != b"I",
    )
    run = PrivateRun(context.gate, question, parsed_at)
    queries = RoomQueries(context.room, bind, param_types)
    try:
        run.answer = await context.asking.ask(question, context.room, queries)
        return run, run.answer
    except RoomError as error:
        raise _rewritten_failed(run, error) from None
    except NoisegateError as error:
        await _refuse_run(context, run, error, statement.offset)
    except Exception as error:
        # Its text may hold what the engine said: only the kind of fault is written down.
        log.error("the gate failed: %s", fault(error))
        await _refuse_run(context, run, Internal(reports.HIDDEN_FAILED), statement.offset)
    finally:
        if run.answer is None:
            run.lost()  # does nothing where the end was reported
    raise AssertionError("a refusal raises")


async def _refuse_run(context: Context, run: PrivateRun, error: NoisegateError, offset: int) -> None:
    try:
        await refuse(context, error, offset)
    except Failed as failed:
        run.end(failed.fields.get("C", "XX000"))
        raise


async def _check_columns(
    context: Context, run: PrivateRun, asked: Sequence[ColumnDescription], answered: Sequence[ColumnDescription]
) -> None:
    """The client was told the types of the statement as written: a different one must never follow."""
    if run.answer is not None and run.answer.relay:
        return
    if [column.type_oid for column in asked] != [column.type_oid for column in answered]:
        log.error("the rewritten statement has other column types than the original")
        await _refuse_run(context, run, Internal(reports.HIDDEN_FAILED), 0)


def _columns(replies: Sequence[Reply]) -> tuple[ColumnDescription, ...]:
    for kind, body in replies:
        if kind == ord("T"):
            return tuple(ColumnDescription(*field) for field in m.decode_row_description(body))
    return ()


def _rewritten_failed(run: PrivateRun, error: RoomError) -> Failed:
    fields = hidden_failed(error)
    run.end(fields.get("C", "XX000"))
    return Failed(fields)


# --- settings --------------------------------------------------------------------------------------------------------


async def restore_strings(context: Context) -> None:
    """standard_conforming_strings went off: texts would be read otherwise than the room reads them."""
    room = context.room
    await room.drain()
    if room.skip or room.tx == b"E":
        room.backslash_quotes = False  # nothing runs before the ROLLBACK, which restores it
        return
    try:
        await room.exchange(*_query_messages("SET standard_conforming_strings = on"))
    except RoomError as error:
        if room.skip:
            raise Failed(hidden_failed(error)) from None
        return  # tried again before the statement is judged
    room.backslash_quotes = False


def _query_messages(sql: str) -> list[bytes]:
    name = b"_ng_q"
    return [
        m.close_statement(name),
        m.Parse(name, sql.encode()).encode(),
        m.Bind(name, name, m.NO_PARAMS, m.ALL_BINARY).encode(),
        m.execute(name),
        m.close_portal(name),
        m.close_statement(name),
    ]


async def run_extended(context: Context, flow: Awaitable[None]) -> None:
    """A flow in the place of an extended message: after an error nothing is sent until the client's Sync."""
    try:
        await flow
    except Failed as failed:
        context.client.write(m.error_response(failed.fields))
        context.room.skip = True
