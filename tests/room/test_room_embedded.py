"""The embedded server's life: it starts, survives its starter, is taken over, ended, and started after a kill."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest

from noisegate.room.embedded import EmbeddedServer, InUse, binaries
from noisegate.room.processes import alive, inhabitants


def _server(folder: Path, **settings: str) -> EmbeddedServer:
    return EmbeddedServer(folder / "data", name="x", settings={"fsync": "off", "shared_buffers": "1MB", **settings})


def _one(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.dsn("postgres")) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _abandon(server: EmbeddedServer) -> None:
    """What a SIGKILL of the gate leaves: a running server, and a lock that the kernel has released."""
    assert server._lock is not None
    server._lock.close()


def test_start_use_stop_start(tmp_path: Path) -> None:
    server = _server(tmp_path, max_connections="17")
    server.start()
    try:
        assert server.running and _one(server, "SHOW max_connections") == "17"
        assert _one(server, "SHOW listen_addresses") == "" and _one(server, "SHOW server_encoding") == "UTF8"
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        pid = server.pid
        server.stop()
        assert not server.running and not alive(pid) and not inhabitants(server.data_dir)
        server.start()
        assert _one(server, "SELECT 1") == 1
    finally:
        server.stop()
    server.stop()


def test_a_server_whose_starter_was_killed_is_taken_over(tmp_path: Path) -> None:
    first = _server(tmp_path)
    first.start()
    _abandon(first)
    second = _server(tmp_path)
    second.start()
    assert second.adopted and second.pid == first.pid and _one(second, "SELECT 1") == 1
    second.stop()
    assert not alive(first.pid, first._child)


def test_a_server_with_other_settings_is_ended(tmp_path: Path) -> None:
    first = _server(tmp_path)
    first.start()
    _abandon(first)
    second = _server(tmp_path, max_connections="31")
    second.start()
    assert not second.adopted and second.pid != first.pid and _one(second, "SHOW max_connections") == "31"
    second.stop()


def test_a_killed_postmaster_and_its_orphans_do_not_stand_in_the_way(tmp_path: Path) -> None:
    first = _server(tmp_path)
    first.start()
    with psycopg.connect(first.dsn("postgres"), autocommit=True) as busy:
        busy.execute("CREATE TABLE kept AS SELECT 1")
        os.kill(first.pid, signal.SIGKILL)
        _abandon(first)
        second = _server(tmp_path)
        second.start()
        assert not second.adopted and _one(second, "SELECT count(*) FROM kept") == 1
        second.stop()


def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(tmp_path: Path) -> None:
    server = _server(tmp_path)
    server.start()
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        lines = [str(stranger.pid), str(server.data_dir), "0", "5432", str(tmp_path / "x.socket"), "", "", "ready"]
        (server.data_dir / "postmaster.pid").write_text("\n".join(lines))
        server.start()
        assert stranger.poll() is None and _one(server, "SELECT 1") == 1
        server.stop()
        stranger.terminate()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    server = _server(tmp_path)
    server.start()
    with pytest.raises(InUse):
        _server(tmp_path).start()
    assert _one(server, "SELECT 1") == 1
    server.stop()


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    server = _server(tmp_path / ("long" * 20) / ("name" * 20))
    server.start()
    assert len(os.fsencode(server.socket)) <= 107 and _one(server, "SELECT 1") == 1
    folder = server.socket_dir
    server.stop()
    assert not folder.exists()


def test_a_session_runs_out_of_memory_alone(tmp_path: Path) -> None:
    settings = {"fsync": "off", "shared_buffers": "1MB"}
    server = EmbeddedServer(tmp_path / "data", name="x", settings=settings, memory_limit_bytes=400 << 20)
    server.start()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.OutOfMemory):
            connection.execute("SELECT length(repeat('x', 500000000) || '')")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    pid = server.pid
    assert server.running and _one(server, "SELECT 1") == 1
    server.stop()
    assert "not properly shut down" not in server.log.read_text() and not alive(pid)


def test_odd_names_in_a_dsn(tmp_path: Path) -> None:
    server = _server(tmp_path)
    server.start()
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute('CREATE ROLE "a b/c@ü%?" LOGIN')
        connection.execute('CREATE DATABASE "d&b=/ é"')
    with psycopg.connect(server.dsn("d&b=/ é", "a b/c@ü%?")) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("a b/c@ü%?", "d&b=/ é")
    server.stop()


def test_the_clients_programs_are_there() -> None:
    assert (binaries() / "psql").exists() and (binaries() / "pgbench").exists()
