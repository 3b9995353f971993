"""The ledger on PostgreSQL keeps the laws, and what only a server can break."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest

from ledger import laws
from noisegate.errors import BadSetting, LedgerFailed
from noisegate.ledger import audit, postgres_schema
from noisegate.ledger.asynchronous import AsyncLedger
from noisegate.ledger.audit import AuditEntry
from noisegate.ledger.interface import Ledger
from noisegate.ledger.postgres import PostgresLedger
from noisegate.room.account import open_way
from noisegate.room.embedded import EmbeddedServer
from support.ledgers import Wire, kill_server, wire_to
from support.servers import new_database


@pytest.fixture(scope="module")
def server(ledger_postgres: EmbeddedServer) -> EmbeddedServer:
    return ledger_postgres


@pytest.fixture(scope="module")
def shared_database(server: EmbeddedServer) -> str:
    return new_database(server)


@pytest.fixture
def url(shared_database: str) -> str:
    """A database without a ledger. One for all tests: each new one is hundreds of files that a restart must sync."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    run(
        shared_database,
        f"SELECT pg_terminate_backend(pid, 5000) {others}",
        "DROP SCHEMA IF EXISTS noisegate_ledger CASCADE",
    )
    return shared_database


@pytest.fixture
def own_url(server: EmbeddedServer) -> str:
    """A database of the test's own."""
    return new_database(server)


@pytest.fixture
def open_ledger(url: str) -> laws.Opener:
    return partial(PostgresLedger, url)


@pytest.fixture
def wire(server: EmbeddedServer, tmp_path: Path) -> Iterator[Wire]:
    with wire_to(server, tmp_path) as wire:
        yield wire


@contextmanager
def raw(url: str) -> Iterator[psycopg.Connection]:
    """The database without the ledger, and without the triggers that keep the log append-only."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET session_replication_role = replica")
        db.execute("SET search_path = noisegate_ledger")
        yield db


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for statement in statements:
            db.execute(statement.encode())


def database(url: str) -> str:
    found = re.search(r"test_\d+_\d+", url)
    assert found is not None
    return found[0]


class PostgresTamper:
    def __init__(self, url: str) -> None:
        self.url = url

    def change(self, record: int, before: str, after: str) -> None:
        with raw(self.url) as db:
            [body] = db.execute("SELECT body FROM audit WHERE id = %s", (record,)).fetchone() or ("",)
            assert before in body
            db.execute("UPDATE audit SET body = %s WHERE id = %s", (body.replace(before, after), record))

    def remove(self, record: int) -> None:
        with raw(self.url) as db:
            assert db.execute("DELETE FROM audit WHERE id = %s", (record,)).rowcount == 1

    def swap(self, one: int, other: int) -> None:
        with raw(self.url) as db:
            for old, new in ((one, -1), (other, one), (-1, other)):
                db.execute("UPDATE audit SET id = %s WHERE id = %s", (new, old))

    def cut_with_head(self, last: int) -> None:
        with raw(self.url) as db:
            db.execute("DELETE FROM audit WHERE id > %s", (last,))
            db.execute("UPDATE head SET count = %s, hash = (SELECT hash FROM audit WHERE id = %s)", (last, last))

    def rechain(self) -> None:
        before = bytes(32)
        with raw(self.url) as db:
            for number, body in db.execute("SELECT id, body FROM audit ORDER BY id").fetchall():
                before = hashlib.sha256(before + body.encode()).digest()
                db.execute("UPDATE audit SET hash = %s WHERE id = %s", (before, number))
            db.execute("UPDATE head SET hash = %s", (before,))

    def set_spent(self, account: str, epsilon: str) -> None:
        with raw(self.url) as db:
            db.execute("DELETE FROM account WHERE name = %s", (account,))
            db.execute("INSERT INTO account VALUES (%s, 'basic', %s, 0, 0, 0)", (account, Decimal(epsilon)))

    def forget_charge(self, record: int, account: str) -> None:
        with raw(self.url) as db:
            gone = db.execute("DELETE FROM charge WHERE record = %s AND account = %s", (record, account))
            assert gone.rowcount == 1

    def refile(self, record: int, receipt: str) -> None:
        with raw(self.url) as db:
            db.execute("UPDATE audit SET receipt = %s WHERE id = %s", (receipt, record))


@pytest.mark.slow
def test_laws_on_an_older_server(tmp_path: Path) -> None:
    """The machine's own PostgreSQL, where it has one."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        pytest.skip("this machine has no PostgreSQL of its own")
    older = EmbeddedServer(tmp_path / "data", name="older", settings={"fsync": "on"}, programs=programs[-1].parent)
    older.start()
    try:
        for law in laws.LAWS:
            if law is not PER_LINE:
                law(partial(PostgresLedger, new_database(older)))
    finally:
        older.stop()


PER_LINE = laws.killed_at_every_line_it_is_whole


@pytest.mark.parametrize("law", [law for law in laws.LAWS if law is not PER_LINE], ids=lambda law: law.__name__)
def test_law(law: Callable[[laws.Opener], None], open_ledger: laws.Opener) -> None:
    law(open_ledger)


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_line_it_is_whole(open_ledger: laws.Opener, step: int) -> None:
    laws.killed_at_every_line_it_is_whole(open_ledger, step)


@pytest.mark.parametrize("sessions", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_many_gates_never_overspend(open_ledger: laws.Opener, sessions: int) -> None:
    laws.many_gates_never_overspend(open_ledger, sessions)


@pytest.mark.parametrize("name", laws.TAMPERINGS)
def test_tampering_is_found(name: str, open_ledger: laws.Opener, url: str) -> None:
    laws.tampering_is_found(open_ledger, PostgresTamper(url), name)


def test_a_noted_head_finds_a_cut_tail(open_ledger: laws.Opener, url: str) -> None:
    laws.a_noted_head_finds_a_cut_tail(open_ledger, PostgresTamper(url))


# A server that fails


class FailingCommit:
    """The server says no in COMMIT itself, as for a disk that is full then."""

    def __init__(self, server: EmbeddedServer, url: str) -> None:
        self.url = url

    def break_store(self, ledger: Ledger) -> None:
        run(
            self.url,
            """CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END $$""",
            """CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON noisegate_ledger.audit DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION public.full_disk()""",
        )

    def mend_store(self, ledger: Ledger) -> None:
        run(self.url, "DROP FUNCTION public.full_disk CASCADE")


class ServerDown:
    def __init__(self, server: EmbeddedServer, url: str) -> None:
        self.server = server

    def break_store(self, ledger: Ledger) -> None:
        kill_server(self.server)

    def mend_store(self, ledger: Ledger) -> None:
        self.server.start()


class FsyncOff:
    def __init__(self, server: EmbeddedServer, url: str) -> None:
        self.url = url

    def break_store(self, ledger: Ledger) -> None:
        self._set("ALTER SYSTEM SET fsync = off", "off")

    def mend_store(self, ledger: Ledger) -> None:
        self._set("ALTER SYSTEM RESET fsync", "on")

    def _set(self, statement: str, value: str) -> None:
        run(self.url, statement, "SELECT pg_reload_conf()")
        with psycopg.connect(self.url, autocommit=True) as db:  # each session hears of it in its own time
            deadline = time.monotonic() + 10
            while db.execute("SHOW fsync").fetchone() != (value,):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        time.sleep(0.2)


@pytest.mark.parametrize("fault", [FailingCommit, ServerDown, FsyncOff], ids=lambda fault: fault.__name__)
def test_a_failure_gives_no_receipt(
    fault: Callable[[EmbeddedServer, str], laws.Breakable], open_ledger: laws.Opener, server: EmbeddedServer, url: str
) -> None:
    laws.a_failure_gives_no_receipt(open_ledger, fault(server, url))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_really_full_disk(small_disk: Path, server: EmbeddedServer, url: str) -> None:
    """Charges until the log's disk is full: the sum is what was sold, and with room again it goes on."""
    owner = server.data_dir.stat()
    open_way(small_disk)
    os.chown(small_disk, owner.st_uid, owner.st_gid)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(400_000))
    run(url, f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    with laws.opened(partial(PostgresLedger, url)) as ledger:
        run(url, "ALTER TABLE noisegate_ledger.audit SET TABLESPACE small")
        sold, many = 0, laws.accounts("1000", "1000")
        with pytest.raises(LedgerFailed, match="could not be written"):
            for _ in range(1000):
                ledger.charge("alice", many, laws.price("0.001"), ["d"], laws.asked(os.urandom(4000).hex()))
                sold += 1
        assert 10 < sold < 1000
        ballast.unlink()
        assert ledger.balance(laws.OWN).epsilon * 1000 == sold
        laws.pay(ledger, "0.001", many)
        assert ledger.balance(laws.OWN).epsilon * 1000 == sold + 1
    laws.whole(partial(PostgresLedger, url))
    run(url, "DROP SCHEMA noisegate_ledger CASCADE", "DROP TABLESPACE small")


def _charge_until_it_fails(open_ledger: laws.Opener, done: Connection) -> None:
    """Sends receipts; ends when the store is gone, with a word for a commit that nobody confirmed."""
    with laws.opened(open_ledger) as ledger:
        try:
            while True:
                receipt = laws.pay(ledger, "0.001", laws.accounts("1000", "1000"))
                done.send(receipt.id)
                ledger.ended(receipt, laws.asked(), "ok", 0.001)
        except LedgerFailed as failure:
            done.send(failure)


def test_a_killed_server_forgets_nothing(open_ledger: laws.Opener, server: EmbeddedServer) -> None:
    """SIGKILL of all the server's processes while two gates charge: what was sold is charged, once; at most one more
    charge of each gate stands, of a commit that was not confirmed."""
    heard: set[str] = set()
    rounds = 3
    for turn in range(rounds):
        ours, theirs = laws.processes.Pipe(duplex=False)
        children = [laws.processes.Process(target=_charge_until_it_fails, args=(open_ledger, theirs)) for _ in range(2)]
        for child in children:
            child.start()
        heard.add(ours.recv())
        time.sleep(0.1 + 0.037 * turn)
        kill_server(server)
        failures = 0
        while failures < len(children):
            said = ours.recv()
            failures += isinstance(said, LedgerFailed)
            heard |= {said} if isinstance(said, str) else set()
        for child in children:
            child.join()
        server.start()
        with laws.opened(open_ledger) as ledger:
            charged = [r.values["receipt"] for r in ledger.records() if r.values["event"] == "asked"]
            assert heard <= set(charged) and len(charged) <= len(heard) + 2 * (turn + 1)
            assert ledger.balance(laws.OWN).epsilon == len(charged) * Decimal("0.001")
        laws.whole(open_ledger)
    assert len(heard) > rounds


# A commit that nobody confirms


@pytest.mark.parametrize("late", [True, False], ids=["it stands", "it does not"])
def test_an_unconfirmed_charge_gives_no_receipt(wire: Wire, url: str, late: bool) -> None:
    ledger = PostgresLedger(wire.url(database(url)))
    laws.pay(ledger, "0.1")
    wire.armed, wire.late = True, late
    with pytest.raises(LedgerFailed, match="did not confirm") as failure:
        laws.pay(ledger, "0.2")
    assert "may stand" in failure.value.detail
    assert not wire.armed
    stands = Decimal("0.2") if late else Decimal(0)
    assert ledger.balance(laws.OWN).epsilon == Decimal("0.1") + stands
    laws.pay(ledger, "0.3")
    assert ledger.balance(laws.SHARED).epsilon == Decimal("0.4") + stands
    assert ledger.verify() == []
    ledger.close()


@pytest.mark.parametrize("late", [True, False], ids=["it stands", "it does not"])
def test_records_of_an_unconfirmed_commit_are_written_once(wire: Wire, url: str, late: bool) -> None:
    """A statement that ended twice would look like tampering."""

    async def body() -> None:
        ledger = AsyncLedger(PostgresLedger(wire.url(database(url))), flush_every_s=0.05)
        receipt = await ledger.charge("alice", laws.accounts(), laws.price("0.1"), ["digest"], laws.asked())
        wire.armed, wire.late = True, late
        ledger.finished(receipt, laws.asked(), "ok", 0.1)
        with pytest.raises(LedgerFailed, match="did not confirm"):
            await ledger.flush()
        with pytest.raises(LedgerFailed):
            ledger.check()
        ledger.relayed(AuditEntry(audit.RELAYED, sql="SELECT 1"))
        await ledger.flush()
        ledger.check()
        await ledger.close()

    asyncio.run(body())
    with laws.opened(partial(PostgresLedger, url)) as after:
        assert laws.events(after) == ["asked", "ended", "relayed"]
        assert after.verify() == []


def test_the_same_record_may_be_written_again_after_all(wire: Wire, url: str) -> None:
    """Only what was handed over in vain is left out, and only once."""
    ledger = PostgresLedger(wire.url(database(url)))
    entry = AuditEntry(audit.RELAYED, sql="SELECT 1")
    wire.armed = wire.late = True
    with pytest.raises(LedgerFailed):
        ledger.record([entry])
    for count in (1, 2):
        ledger.record([entry])
        assert ledger.head().count == count
    ledger.close()


def test_a_server_that_dies_in_a_commit(open_ledger: laws.Opener, url: str) -> None:
    with laws.opened(open_ledger) as ledger:
        run(
            url,
            """CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1); RETURN NULL; END $$""",
            """CREATE CONSTRAINT TRIGGER die AFTER INSERT ON noisegate_ledger.audit DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION public.die()""",
        )
        with pytest.raises(LedgerFailed, match="did not confirm"):
            laws.pay(ledger)
        run(url, "DROP FUNCTION public.die CASCADE")
        laws.pay(ledger)
        assert ledger.balance(laws.OWN).epsilon == Decimal("0.1")
    laws.whole(open_ledger)


def test_a_warning_in_a_commit_is_no_confirmation(open_ledger: laws.Opener, url: str) -> None:
    """That is how PostgreSQL says that it stopped waiting for a standby."""
    with laws.opened(open_ledger) as ledger:
        run(
            url,
            """CREATE FUNCTION public.warn() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE WARNING 'not replicated'; RETURN NULL; END $$""",
            """CREATE CONSTRAINT TRIGGER warn AFTER INSERT ON noisegate_ledger.audit DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION public.warn()""",
        )
        with pytest.raises(LedgerFailed, match="did not confirm"):
            laws.pay(ledger)
        assert ledger.balance(laws.OWN).epsilon == Decimal("0.1")
    laws.whole(open_ledger)
    run(url, "DROP FUNCTION public.warn CASCADE")


def test_a_connection_that_was_lost_while_it_was_idle_is_made_anew(open_ledger: laws.Opener, url: str) -> None:
    with laws.opened(open_ledger) as ledger:
        for work in (lambda: laws.pay(ledger), lambda: ledger.balance(laws.OWN)):
            with psycopg.connect(url, autocommit=True) as db:
                others = "FROM pg_stat_activity WHERE application_name = 'noisegate ledger' AND pid <> pg_backend_pid()"
                db.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}".encode())
            work()
        assert ledger.balance(laws.OWN).epsilon == Decimal("0.1")


# A server that forgets


def test_an_older_copy_is_refused(server: EmbeddedServer, own_url: str) -> None:
    """A restored backup would give back what was spent since; also where others have charged to it meanwhile."""
    name, url = database(own_url), own_url
    ledger = PostgresLedger(url)
    laws.pay(ledger)
    ledger.close()
    run(server.dsn("postgres"), f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    laws.pay(ledger)
    ledger.close()
    run(
        server.dsn("postgres"),
        f"ALTER DATABASE {name} RENAME TO {name}_away",
        f"ALTER DATABASE {name}_copy RENAME TO {name}",
    )
    for _ in range(2):
        with pytest.raises(LedgerFailed, match="no longer holds what was committed"):
            laws.pay(ledger)
        with laws.opened(partial(PostgresLedger, url)) as other:  # which cannot know
            laws.pay(other)
    ledger.close()


def test_a_gate_that_stands_still_holds_nobody_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_schema, "IDLE_IN_TRANSACTION_S", 1)
    still, other = PostgresLedger(url), PostgresLedger(url)
    holding, go_on = threading.Event(), threading.Event()
    failures: list[LedgerFailed] = []

    def stand_still() -> None:
        try:
            with still._writing({laws.OWN}) as page:
                page.entries.append(AuditEntry(audit.RELAYED, sql="SELECT 1"))
                holding.set()
                go_on.wait()
        except LedgerFailed as failure:
            failures.append(failure)

    thread = threading.Thread(target=stand_still)
    thread.start()
    holding.wait()
    laws.pay(other)
    go_on.set()
    thread.join()
    assert [failure.message for failure in failures] == ["the ledger could not be written"]
    assert laws.events(other) == ["asked"]
    laws.pay(still)
    assert other.verify() == []
    still.close()
    other.close()


def test_a_locked_ledger_fails_closed(url: str) -> None:
    ledger = PostgresLedger(url, busy_timeout_s=0.1)
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM noisegate_ledger.head FOR UPDATE")
        with pytest.raises(LedgerFailed, match="could not be written") as failure:
            laws.pay(ledger)
        assert failure.value.detail == "LockNotAvailable (55P03)"
    laws.pay(ledger)
    assert ledger.head().count == 1
    ledger.close()


# Where no ledger can be


def test_a_server_without_fsync_is_refused(data_server: EmbeddedServer) -> None:
    with pytest.raises(LedgerFailed, match="fsync off"):
        PostgresLedger(new_database(data_server))


def test_a_standby_is_refused(server: EmbeddedServer, url: str) -> None:
    PostgresLedger(url).close()
    signal = server.data_dir / "standby.signal"
    server.stop()
    signal.touch()
    server.start()
    try:
        for options in ("", "&target_session_attrs=any"):
            with pytest.raises(LedgerFailed, match=r"could not be opened|is a standby"):
                PostgresLedger(url + options)
    finally:
        server.stop()
        signal.unlink()
        server.start()
    PostgresLedger(url).close()


def test_commits_are_waited_for(own_url: str) -> None:
    """Whatever the server's own defaults are; and a session of which somebody else changes them sells nothing."""
    name, url = database(own_url), own_url
    run(url, f"ALTER DATABASE {name} SET synchronous_commit = off", f"ALTER DATABASE {name} SET row_security = on")
    ledger = PostgresLedger(url)
    laws.pay(ledger)
    assert ledger._connection is not None
    assert ledger._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    ledger._connection.execute("SET synchronous_commit = local")
    with pytest.raises(LedgerFailed, match="does not wait"):
        laws.pay(ledger)
    laws.pay(ledger)  # on a new connection
    ledger.close()
    run(url, f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    with laws.opened(partial(PostgresLedger, url)) as stronger:
        assert isinstance(stronger, PostgresLedger) and stronger._connection is not None
        assert stronger._connection.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)


def test_tables_that_a_crash_would_empty_are_refused(url: str) -> None:
    PostgresLedger(url).close()
    run(url, "ALTER TABLE noisegate_ledger.account SET UNLOGGED")
    with pytest.raises(LedgerFailed, match="could empty them"):
        PostgresLedger(url)


def test_other_databases_are_refused(url: str) -> None:
    assert not postgres_schema.exists(url)
    with pytest.raises(LedgerFailed, match="there is no ledger in this database"):
        PostgresLedger(url, create=False)
    run(url, "CREATE SCHEMA noisegate_ledger CREATE TABLE other (a int)")
    with pytest.raises(LedgerFailed, match="holds something else"):
        PostgresLedger(url)
    run(url, "DROP TABLE noisegate_ledger.other")
    PostgresLedger(url).close()  # an empty schema may have been made for it
    assert postgres_schema.exists(url)
    PostgresLedger(url, create=False).close()
    run(url, "SET session_replication_role = replica; DELETE FROM noisegate_ledger.head")
    with pytest.raises(LedgerFailed, match="lost the head"):
        PostgresLedger(url)


def test_a_url_is_never_repeated(url: str) -> None:
    for wrong in ("postgresql://alice:secret@/x?nonsense=secret", "postgresql://alice:secret@[::1/x"):
        with pytest.raises(BadSetting) as refusal:
            PostgresLedger(wrong)
        assert "secret" not in str(refusal.value) + refusal.value.detail + refusal.value.hint
    with pytest.raises(LedgerFailed) as failure:
        PostgresLedger("postgresql://alice:secret@127.0.0.1:1/x")
    assert "secret" not in failure.value.message + failure.value.detail


# The schema


def test_a_newer_schema_is_refused(url: str) -> None:
    ledger = PostgresLedger(url)
    laws.pay(ledger)
    run(url, "UPDATE noisegate_ledger.head SET version = 2")
    for attempt in (lambda: laws.pay(ledger), lambda: PostgresLedger(url)):  # also by a gate that runs already
        with pytest.raises(LedgerFailed, match="schema 2") as refusal:
            attempt()
        assert refusal.value.hint == "Use a newer noisegate."


def test_an_older_schema_is_brought_up_to_date(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with laws.opened(partial(PostgresLedger, url)) as ledger:
        laws.pay(ledger)
    further = "ALTER TABLE noisegate_ledger.account ADD COLUMN note text;"
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", (*postgres_schema.MIGRATIONS, further))
    for _ in range(2):
        with laws.opened(partial(PostgresLedger, url)) as ledger:
            laws.pay(ledger)
            assert ledger.verify() == []
    with psycopg.connect(url) as db:
        row = db.execute(
            "SELECT version, (SELECT count(note) FROM noisegate_ledger.account) FROM noisegate_ledger.head"
        )
        assert row.fetchone() == (2, 0)
    with laws.opened(partial(PostgresLedger, url)) as ledger:
        assert ledger.balance(laws.OWN).epsilon == Decimal("0.3")


def test_a_role_that_may_only_append_is_enough(url: str) -> None:
    PostgresLedger(url).close()
    role = f"gate_{database(url)}"
    run(
        url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA noisegate_ledger TO {role}",
        f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA noisegate_ledger TO {role}",
        f"GRANT UPDATE ON noisegate_ledger.head, noisegate_ledger.account TO {role}",
    )
    own = url.replace("postgres@", f"{role}@", 1)
    with laws.opened(partial(PostgresLedger, own)) as ledger:
        receipt = laws.pay(ledger)
        ledger.ended(receipt, laws.asked(), "ok", 0.1)
        ledger.grant(laws.accounts(ceiling="2")[0], laws.price("0.5"), "because", "bob")
        assert ledger.verify() == []
    for statement in ("UPDATE audit SET body = ''", "DELETE FROM charge"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(own, f"SET search_path = noisegate_ledger; {statement}")
    run(url, "ALTER TABLE noisegate_ledger.account ENABLE ROW LEVEL SECURITY")
    with laws.opened(partial(PostgresLedger, own)) as ledger, pytest.raises(LedgerFailed):
        laws.pay(ledger)  # it sees no account, which must not look like one that has spent nothing
    run(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_the_log_cannot_be_rewritten_by_accident(url: str) -> None:
    with laws.opened(partial(PostgresLedger, url)) as ledger:
        laws.pay(ledger)
    for statement in (
        "UPDATE noisegate_ledger.audit SET body = ''",
        "DELETE FROM noisegate_ledger.audit",
        "TRUNCATE noisegate_ledger.charge",
        "UPDATE noisegate_ledger.charge SET epsilon = 0",
    ):
        with pytest.raises(psycopg.Error, match="append-only"):
            run(url, statement)
