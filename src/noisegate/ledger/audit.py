"""The audit log: append-only records, each with the hash of the one before. Pure; no I/O.

Invariant: an analyst's text and parameters stand here and nowhere else, and a record that was changed, removed or moved
breaks the chain. A cut tail shows in the head (count and hash, kept beside the chain) and in the accounts.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from noisegate.ledger.accounts import Spent
from noisegate.ledger.amounts import text
from noisegate.plan.measure import Charge

GENESIS = bytes(32)  # what stands before the first record
ASKED, ENDED, RELAYED, REFUSED, GRANTED, USER = "asked", "ended", "relayed", "refused", "grant", "user"
OK = "ok"  # the outcome of a statement that did not fail; else an SQLSTATE
RECORD_BYTES = 300  # about, of a record without its texts


def now() -> str:
    """UTC with microseconds, in ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One record before it is chained. Empty fields are not written.

    `parameters` are as text (binary ones in hex, None for NULL); `price` is exact; `seconds` is stored in microseconds.
    The ledger itself fills in `receipt`, `price`, `accounts` and `digests` of a charge.
    """

    event: str
    analyst: str = ""
    client_address: str = ""
    application_name: str = ""
    database: str = ""
    sql: str = ""
    parameters: tuple[str | None, ...] = ()
    decision: str = ""
    plan: str = ""
    policy_hash: str = ""
    price: Charge | None = None
    receipt: str = ""
    accounts: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    outcome: str = ""
    seconds: float | None = None
    operator: str = ""  # who ran the command, for grants and changes of analysts
    reason: str = ""
    time: str = field(default_factory=now)

    def ended(self, receipt: str, outcome: str, seconds: float) -> AuditEntry:
        """The record that closes this one; the text is not written twice."""
        return replace(
            self,
            event=ENDED,
            receipt=receipt,
            outcome=outcome,
            seconds=seconds,
            sql="",
            parameters=(),
            plan="",
            policy_hash="",
            decision="",
            price=None,
            time=now(),
        )

    @property
    def size(self) -> int:
        """Roughly its bytes, for bounding buffers."""
        return RECORD_BYTES + len(self.sql) + len(self.plan) + sum(len(p) for p in self.parameters if p)

    def body(self, number: int) -> str:
        """As record `number` of the chain."""
        return canonical({"id": number} | _values(self))


class RelayedEntry(NamedTuple):
    """A statement that the clean room ran or refused, before it is chained: an AuditEntry that is cheap to make and
    write, since it stands beside every relayed statement. `at` is in seconds since 1970."""

    analyst: str
    client_address: str
    application_name: str
    database: str
    sql: str
    outcome: str
    seconds: float
    at: float

    @property
    def receipt(self) -> str:
        return ""

    @property
    def size(self) -> int:
        return RECORD_BYTES + len(self.sql)

    def entry(self) -> AuditEntry:
        """The same as one of all kinds."""
        event = RELAYED if self.outcome == OK else REFUSED
        return AuditEntry(event, *self[:5], outcome=self.outcome, seconds=self.seconds, time=_spelled(self.at))

    def body(self, number: int) -> str:
        """`entry().body(number)` without the dict and its sorting; a test holds the two equal."""
        analyst, client_address, application_name, database, text, outcome, seconds, at = self
        event = RELAYED if outcome == OK else REFUSED
        sql = f'"sql":{quoted(text)},' if text else ""
        return (
            f'{{{_who(analyst, client_address, application_name, database)}"duration_us":{round(seconds * 1_000_000)},'
            f'"event":"{event}","id":{number},"outcome":{quoted(outcome)},{sql}"time":"{_spelled(at)}"}}'
        )


Entry = AuditEntry | RelayedEntry


@lru_cache(1024)  # the same for all statements of a session
def _who(analyst: str, client_address: str, application_name: str, database: str) -> str:
    values = {
        "analyst": analyst,
        "application_name": application_name,
        "client_address": client_address,
        "database": database,
    }
    return "".join(f'"{name}":{quoted(value)},' for name, value in values.items() if value)


def _spelled(at: float) -> str:
    """As `now`."""
    seconds, microseconds = divmod(round(at * 1_000_000), 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}+00:00"


@lru_cache(16)  # thousands of statements have the same
def _second(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Record(NamedTuple):
    """One record of the chain, as stored. `body` is canonical JSON."""

    id: int
    body: str
    hash: bytes

    @property
    def values(self) -> dict[str, Any]:
        """The record's fields. Raises ValueError where the body is none of ours."""
        values = json.loads(self.body)
        if not isinstance(values, dict):
            raise ValueError("not an object")
        return values


@dataclass(frozen=True, slots=True)
class Head:
    """The chain's end, written in the transaction of its last record."""

    count: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.count}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True)
class Books:
    """What the ledger holds beside the chain: accounts, and each charge as (record id, account) -> price."""

    head: Head
    accounts: Mapping[str, Spent]
    charges: Mapping[tuple[int, str], Charge]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong; `record` is None where it is not about one record."""

    record: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.record is None else f"record {self.record}: {self.what}"


def canonical(values: Mapping[str, Any]) -> str:
    """The one spelling of a record: sorted keys, no spaces, ASCII."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def link(before: bytes, body: str) -> bytes:
    return hashlib.sha256(before + body.encode("utf-8", "surrogatepass")).digest()


def chained(entries: Sequence[Entry], head: Head) -> tuple[list[Record], Head]:
    """The records that follow `head`, and the new head."""
    records, before = [], head.hash
    for number, entry in enumerate(entries, head.count + 1):
        body = entry.body(number)
        before = link(before, body)
        records.append(Record(number, body, before))
    return records, Head(head.count + len(records), before)


_TEXTS = tuple(f.name for f in fields(AuditEntry) if f.name not in ("price", "seconds"))


def _values(entry: AuditEntry) -> dict[str, Any]:
    values: dict[str, Any] = {name: value for name in _TEXTS if (value := getattr(entry, name))}
    if entry.price is not None:
        values["price"] = price_values(entry.price)
    if entry.seconds is not None:
        values["duration_us"] = round(entry.seconds * 1_000_000)
    return values


def price_values(charge: Charge) -> dict[str, str]:
    return {"kind": charge.kind, "epsilon": text(charge.epsilon), "delta": text(charge.delta)}


def price_of(values: Mapping[str, Any]) -> Charge:
    """Reads what price_values wrote. Raises ValueError."""
    try:
        price = values["price"]
        return Charge(Decimal(price["epsilon"]), Decimal(price["delta"]), str(price["kind"]))
    except (KeyError, TypeError, InvalidOperation):
        raise ValueError("no price") from None


def verify(records: Iterable[Record], books: Books) -> list[Problem]:
    """Everything wrong with a ledger: the chain, its head, and the accounts that the chain must explain exactly."""
    problems: list[Problem] = []
    replay = _Replay()
    head = Head(0, GENESIS)
    for record in records:
        problems += _breaks(record, head)
        problems += replay.read(record)
        head = Head(record.id, record.hash)
    if head.count < books.head.count:
        problems.append(Problem(None, f"the log ends at record {head.count}, its head says {books.head.count}"))
    elif head != books.head:
        problems.append(Problem(None, "the log does not end where its head says"))
    problems += replay.compare(books)
    return problems


def holds(records: Iterable[Record], head: Head) -> bool:
    """Whether the chain passes through a head that was noted earlier, elsewhere: what a cut tail cannot do."""
    if head.count == 0:
        return head.hash == GENESIS
    return any(r.id == head.count and r.hash == head.hash for r in records)


def _breaks(record: Record, head: Head) -> Iterator[Problem]:
    expected = head.count + 1
    if record.id > expected:
        gone = str(expected) if record.id == expected + 1 else f"{expected} to {record.id - 1}"
        yield Problem(record.id, f"what stood before it is gone (record {gone})")
    elif link(head.hash, record.body) != record.hash:
        yield Problem(record.id, "it was changed, or does not follow the record before it")


class _Replay:
    """Rebuilds every account from the chain alone."""

    def __init__(self) -> None:
        self.charges: dict[tuple[int, str], Charge] = {}
        self.spent: dict[str, Spent] = {}
        self.receipts: defaultdict[str, int] = defaultdict(int)  # 1: asked, 2: ended

    def read(self, record: Record) -> Iterator[Problem]:
        try:
            values = record.values
            if values.get("id") != record.id:
                yield Problem(record.id, f"it was written as record {values.get('id')}")
            match values.get("event"):
                case "asked":
                    yield from self._asked(record.id, values)
                case "ended":
                    yield from self._ended(record.id, values)
                case "grant":
                    self._granted(values)
        except (ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError):
            yield Problem(record.id, "it cannot be read")

    def _asked(self, number: int, values: Mapping[str, Any]) -> Iterator[Problem]:
        price = price_of(values)
        if self.receipts[values["receipt"]]:
            yield Problem(number, "its receipt was given before")
        self.receipts[values["receipt"]] = 1
        for name in values["accounts"]:
            self.charges[number, name] = price
            self.spent[name] = self.spent.get(name, Spent(name)).plus(price)

    def _ended(self, number: int, values: Mapping[str, Any]) -> Iterator[Problem]:
        state = self.receipts[values["receipt"]]
        if state != 1:
            yield Problem(number, "its statement ended twice" if state else "it ends a statement that was never asked")
        self.receipts[values["receipt"]] = 2

    def _granted(self, values: Mapping[str, Any]) -> None:
        for name in values["accounts"]:
            self.spent[name] = self.spent.get(name, Spent(name)).granted(price_of(values))

    def compare(self, books: Books) -> Iterator[Problem]:
        for number, name in sorted(books.charges.keys() - self.charges.keys()):
            yield Problem(number, f"a charge to {name} has no record of its question")
        for number, name in sorted(self.charges.keys() - books.charges.keys()):
            yield Problem(number, f"its charge to {name} is missing")
        for number, name in sorted(self.charges.keys() & books.charges.keys()):
            if self.charges[number, name] != books.charges[number, name]:
                yield Problem(number, f"its charge to {name} is not the recorded price")
        for name in sorted(self.spent.keys() | books.accounts.keys()):
            if self.spent.get(name, Spent(name)) != books.accounts.get(name, Spent(name)):
                yield Problem(None, f"the total of {name} is not the sum of its charges and grants")
