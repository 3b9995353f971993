"""PostgreSQL protocol messages (version 3) without sockets: encode and decode side by side.

A frame is a type byte, a length (int32, itself included) and a body. Decoders take a body and raise ProtocolViolation
on anything malformed. Sizes are checked by frames.py before a frame is ever gathered.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PROTOCOL_MAJOR = 3
PROTOCOL_MINOR_MAX = 2  # PostgreSQL 18 speaks 3.2: long cancel keys
CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104

TEXT_OID = 25
_INT16 = struct.Struct("!h")
_UINT16 = struct.Struct("!H")
_INT32 = struct.Struct("!i")
_UINT32 = struct.Struct("!I")
_FIELD = struct.Struct("!IhIhih")  # table, attribute, type, type length, typmod, format


class ProtocolViolation(Exception):
    """The peer sent something that is not the protocol. The text is for its own eyes: constant, no data."""


def frame(kind: bytes, body: bytes = b"") -> bytes:
    return kind + _INT32.pack(len(body) + 4) + body


def _until_nul(body: bytes, start: int) -> tuple[bytes, int]:
    end = body.find(b"\0", start)
    if end < 0:
        raise ProtocolViolation("invalid string in message")
    return body[start:end], end + 1


def _malformed(end: int) -> ProtocolViolation:
    """For a body whose string does not end where it should: its NUL is at `end`, or nowhere (-1)."""
    return ProtocolViolation("invalid string in message" if end < 0 else "invalid message format")


def _done(body: bytes, position: int) -> None:
    if position != len(body):
        raise ProtocolViolation("invalid message format")


# --- from the client -------------------------------------------------------------------------------------------------

FLUSH = frame(b"H")
SYNC = frame(b"S")
TERMINATE = frame(b"X")


def query(text: bytes) -> bytes:
    return frame(b"Q", text + b"\0")


def decode_query(body: bytes) -> bytes:
    end = body.find(b"\0")
    if end < 0 or end + 1 != len(body):
        raise _malformed(end)
    return body[:end]


class Parse(NamedTuple):
    name: bytes
    text: bytes
    types: tuple[int, ...] = ()

    def encode(self) -> bytes:
        types = struct.pack(f"!H{len(self.types)}I", len(self.types), *self.types)
        return frame(b"P", self.name + b"\0" + self.text + b"\0" + types)

    @classmethod
    def decode(cls, body: bytes) -> Parse:
        name, at = _until_nul(body, 0)
        text, at = _until_nul(body, at)
        if len(body) < at + 2:
            raise ProtocolViolation("invalid message format")
        (count,) = _UINT16.unpack_from(body, at)
        if at + 2 + 4 * count != len(body):
            raise ProtocolViolation("invalid message format")
        return cls(name, text, struct.unpack_from(f"!{count}I", body, at + 2) if count else ())


NO_PARAMS = b"\0\0\0\0"  # no formats, no values
ALL_BINARY = b"\0\1\0\1"
ALL_TEXT = b"\0\0"


@dataclass(frozen=True, slots=True)
class Bind:
    """`params` is the raw section of parameter formats and values, `formats` that of the result formats."""

    portal: bytes
    statement: bytes
    params: bytes = NO_PARAMS
    formats: bytes = ALL_TEXT

    def encode(self) -> bytes:
        return frame(b"B", self.portal + b"\0" + self.statement + b"\0" + self.params + self.formats)

    @classmethod
    def decode(cls, body: bytes) -> Bind:
        portal, at = _until_nul(body, 0)
        statement, start = _until_nul(body, at)
        try:
            at = _skip_values(body, start)
            (formats,) = _UINT16.unpack_from(body, at)
        except struct.error:
            raise ProtocolViolation("invalid message format") from None
        _done(body, at + 2 + 2 * formats)
        return cls(portal, statement, body[start:at], body[at:])


def readable_params(params: bytes) -> tuple[str | None, ...]:
    """The values of a Bind's parameter section for a reader: text as it is, binary in hex, None for NULL."""
    (count,) = _UINT16.unpack_from(params, 0)
    formats = struct.unpack_from(f"!{count}H", params, 2)
    at = 2 + 2 * count
    (values,) = _UINT16.unpack_from(params, at)
    at += 2
    found: list[str | None] = []
    for i in range(values):
        (length,) = _INT32.unpack_from(params, at)
        at += 4
        binary = formats[i if count > 1 else 0] if count else 0
        data = params[at : at + max(length, 0)]
        found.append(None if length < 0 else "\\x" + data.hex() if binary else data.decode("utf-8", "backslashreplace"))
        at += max(length, 0)
    return tuple(found)


def bind_names(body: bytes) -> tuple[bytes, bytes]:
    """Portal and statement of a Bind, without looking at the rest."""
    middle = body.find(b"\0")
    end = body.find(b"\0", middle + 1)
    if middle < 0 or end < 0:
        raise ProtocolViolation("invalid string in message")
    return body[:middle], body[middle + 1 : end]


def _skip_values(body: bytes, at: int) -> int:
    (formats,) = _UINT16.unpack_from(body, at)
    at += 2 + 2 * formats
    (values,) = _UINT16.unpack_from(body, at)
    at += 2
    for _ in range(values):
        (length,) = _INT32.unpack_from(body, at)
        if length < -1:
            raise ProtocolViolation("invalid message format")
        at += 4 + max(length, 0)
    if at > len(body):
        raise ProtocolViolation("insufficient data left in message")
    return at


def text_params(values: Sequence[str]) -> bytes:
    """A Bind's parameter section: every value in text format."""
    encoded = (value.encode() for value in values)
    return b"\0\0" + _UINT16.pack(len(values)) + b"".join(_INT32.pack(len(v)) + v for v in encoded)


def describe_statement(name: bytes) -> bytes:
    return frame(b"D", b"S" + name + b"\0")


def close_statement(name: bytes) -> bytes:
    return frame(b"C", b"S" + name + b"\0")


def close_portal(name: bytes) -> bytes:
    return frame(b"C", b"P" + name + b"\0")


def decode_target(body: bytes) -> tuple[bytes, bytes]:
    """Of Describe and Close: b'S' or b'P', and the name."""
    end = body.find(b"\0", 1)
    if end < 0 or end + 1 != len(body):
        raise _malformed(end)
    target = body[:1]
    if target != b"S" and target != b"P":
        raise ProtocolViolation("invalid message subtype")
    return target, body[1:end]


def execute(portal: bytes, row_limit: int = 0) -> bytes:
    return frame(b"E", portal + b"\0" + _INT32.pack(row_limit))


def decode_execute(body: bytes) -> bytes:
    """The portal's name."""
    end = body.find(b"\0")
    if end < 0 or end + 5 != len(body):
        raise _malformed(end)
    return body[:end]


def startup(parameters: Mapping[str, str], minor: int = 0) -> bytes:
    pairs = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items())
    return _with_length(_UINT32.pack(PROTOCOL_MAJOR << 16 | minor) + pairs + b"\0")


def decode_startup_parameters(body: bytes) -> dict[str, str]:
    """The pairs after the version; strings must be UTF-8."""
    if not body.endswith(b"\0"):
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
    pieces = body[:-1].split(b"\0")
    if pieces.pop() != b"" or len(pieces) % 2:
        raise ProtocolViolation("invalid startup packet layout")
    try:
        texts = [piece.decode() for piece in pieces]
    except UnicodeDecodeError:
        raise ProtocolViolation("invalid startup packet: not UTF-8") from None
    return dict(zip(texts[::2], texts[1::2], strict=True))


def cancel_request(pid: int, secret: bytes) -> bytes:
    return _with_length(_UINT32.pack(CANCEL_REQUEST) + _UINT32.pack(pid) + secret)


def _with_length(body: bytes) -> bytes:
    return _INT32.pack(len(body) + 4) + body


# --- from the server -------------------------------------------------------------------------------------------------

AUTHENTICATION_OK = frame(b"R", _INT32.pack(0))


def authentication_sasl(mechanisms: Sequence[str]) -> bytes:
    return frame(b"R", _INT32.pack(10) + b"".join(name.encode() + b"\0" for name in mechanisms) + b"\0")


def authentication_sasl_continue(data: bytes) -> bytes:
    return frame(b"R", _INT32.pack(11) + data)


def authentication_sasl_final(data: bytes) -> bytes:
    return frame(b"R", _INT32.pack(12) + data)


def decode_sasl_initial(body: bytes) -> tuple[str, bytes]:
    """Mechanism and initial response."""
    name, at = _until_nul(body, 0)
    if len(body) < at + 4:
        raise ProtocolViolation("malformed SASL message")
    (length,) = _INT32.unpack_from(body, at)
    if length != len(body) - at - 4:
        raise ProtocolViolation("malformed SASL message")
    return name.decode("ascii", "replace"), body[at + 4 :]


def backend_key_data(pid: int, secret: bytes) -> bytes:
    return frame(b"K", _UINT32.pack(pid) + secret)


def decode_backend_key_data(body: bytes) -> tuple[int, bytes]:
    if len(body) < 8:
        raise ProtocolViolation("invalid message format")
    return _UINT32.unpack_from(body, 0)[0], body[4:]


def negotiate_protocol_version(minor: int, unknown: Sequence[str]) -> bytes:
    names = b"".join(name.encode() + b"\0" for name in unknown)
    return frame(b"v", _UINT32.pack(PROTOCOL_MAJOR << 16 | minor) + _INT32.pack(len(unknown)) + names)


def ready_for_query(status: bytes = b"I") -> bytes:
    return frame(b"Z", status)


def command_complete(tag: str) -> bytes:
    return frame(b"C", tag.encode() + b"\0")


def decode_parameter_status(body: bytes) -> tuple[str, str]:
    name, at = _until_nul(body, 0)
    value, _ = _until_nul(body, at)
    return name.decode("ascii", "replace"), value.decode("utf-8", "replace")


def decode_data_row(body: bytes) -> tuple[bytes | None, ...]:
    (count,) = _UINT16.unpack_from(body, 0)
    values: list[bytes | None] = []
    at = 2
    for _ in range(count):
        (length,) = _INT32.unpack_from(body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length])
        at += max(length, 0)
    return tuple(values)


def decode_parameter_description(body: bytes) -> tuple[int, ...]:
    (count,) = _UINT16.unpack_from(body, 0)
    return struct.unpack_from(f"!{count}I", body, 2)


def decode_row_description(body: bytes) -> list[tuple[str, int, int]]:
    """(name, type OID, typmod) of each field."""
    (count,) = _UINT16.unpack_from(body, 0)
    at = 2
    fields = []
    for _ in range(count):
        name, at = _until_nul(body, at)
        _, _, type_oid, _, typmod, _ = _FIELD.unpack_from(body, at)
        at += _FIELD.size
        fields.append((name.decode("utf-8", "replace"), type_oid, typmod))
    return fields


Fields = dict[str, str]
"""Fields of an ErrorResponse or NoticeResponse by their one-letter codes, in the order of the message."""


def decode_fields(body: bytes) -> Fields:
    fields: Fields = {}
    for piece in body.split(b"\0"):
        if piece:
            fields[chr(piece[0])] = piece[1:].decode("utf-8", "replace")
    return fields


def _encode_fields(fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    return b"".join(f"{code}{value}\0".encode() for code, value in pairs) + b"\0"


def error_response(fields: Mapping[str, str]) -> bytes:
    return frame(b"E", _encode_fields(fields))


def notice_response(fields: Mapping[str, str]) -> bytes:
    return frame(b"N", _encode_fields(fields))
