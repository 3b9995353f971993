"""Refusals: the clean room itself raises them, so that its state and the client's stay the same in every mode."""

from __future__ import annotations

import logging

from noisegate.errors import NoisegateError, Unsupported
from noisegate.wire import messages as m
from noisegate.wire import reports
from noisegate.wire.context import Context, Failed
from noisegate.wire.expect import SYNC, Entry
from noisegate.wire.gate import Statement
from noisegate.wire.roomside import RoomError
from noisegate.wire.runs import now

log = logging.getLogger(__name__)

_REFUSAL = b"_ng_r"
_REFUSE = b"SELECT noisegate.refuse($1,$2,$3,$4)"


async def refuse_statement(context: Context, statement: Statement) -> None:
    """A statement of a kind that is never run. Raises Failed."""
    started = now()
    error = statement.refusal or Unsupported(reports.UNRECOGNISED)
    try:
        await refuse(context, error, statement.offset)
    except Failed as failed:
        context.gate.relayed(context.identity, statement.text, failed.fields.get("C", "XX000"), now() - started)
        raise


async def refuse_parse(context: Context, statement: Statement) -> None:
    """A refused statement kind, at Parse."""
    await context.room.drain()
    if not context.room.skip:
        await refuse_statement(context, statement)


async def refuse_message(context: Context, error: NoisegateError) -> None:
    """An extended message that is refused whatever it means."""
    await context.room.drain()
    if not context.room.skip:
        await refuse(context, error, 0)


async def refuse_simple(context: Context, error: NoisegateError) -> None:
    """The same for a message that the room would end with ReadyForQuery."""
    try:
        await refuse_message(context, error)
    except Failed as failed:
        context.client.write(m.error_response(failed.fields))
    else:
        return
    context.room.skip = context.room.opened = False
    context.room.send(m.SYNC, Entry(SYNC))


async def refuse(context: Context, error: NoisegateError, offset: int) -> None:
    """Let the room itself raise the refusal, so that its state and the client's stay the same. Raises Failed.

    offset: start of the statement in the client's text, in characters; the error's position counts from there.
    """
    values = [_without_nul(text) for text in (error.sqlstate, error.message, error.detail, error.hint)]
    try:
        await context.room.exchange(
            m.close_statement(_REFUSAL),
            m.Parse(_REFUSAL, _REFUSE, (m.TEXT_OID,) * 4).encode(),
            m.Bind(_REFUSAL, _REFUSAL, m.text_params(values)).encode(),
            m.execute(_REFUSAL),
        )
    except RoomError as raised:
        fields = reports.of_refusal(raised.fields, error, offset)
        if fields.get("C") == "XX000" != error.sqlstate:
            log.error("a refusal could not be raised: %s", raised.fields.get("C"))
        raise Failed(fields) from None
    raise RuntimeError("the clean room's refuse() raised nothing")


def _without_nul(text: str) -> str:
    return text.replace("\0", "")


def hidden_failed(error: RoomError) -> m.Fields:
    fields = reports.of_hidden(error.fields)
    if fields.get("C") != error.fields.get("C"):
        log.error("a hidden statement failed with %s", error.fields.get("C"))
    return fields
