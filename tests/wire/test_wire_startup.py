"""Coming in: TLS, SCRAM, protocol versions, limits on who has not proved anything yet."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from wirekit import (
    PASSWORD,
    PATIENCE_S,
    ROLE,
    Analysts,
    GateThread,
    Raw,
    ServerError,
    WordGate,
    error,
    eventually,
    kinds,
    rows,
)

from noisegate.room.embedded import EmbeddedServer
from noisegate.wire import ServerConfig, make_self_signed, serve
from noisegate.wire import messages as m
from noisegate.wire.gate import RoomAddress
from noisegate.wire.scram import MECHANISM, MECHANISM_PLUS, ScramFailed, ScramServer, make_verifier

StartGate = Callable[..., GateThread]
SSL_REQUEST = struct.pack("!II", 8, m.SSL_REQUEST)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_gate(start_gate: StartGate, certificate: tuple[Path, Path]) -> GateThread:
    return start_gate(certificate=certificate[0], key=certificate[1], tls_required=True)


def test_self_signed_key_is_private_and_kept(certificate: tuple[Path, Path]) -> None:
    crt, key = certificate
    assert key.stat().st_mode & 0o777 == 0o600
    before = crt.read_bytes()
    assert make_self_signed(crt.parent) == (crt, key)
    assert crt.read_bytes() == before


@pytest.mark.parametrize(
    "more",
    [
        {"sslmode": "require"},
        {"sslmode": "verify-full", "sslrootcert": "CRT", "host": "localhost"},
        {"sslmode": "require", "sslnegotiation": "direct"},
        {"sslmode": "require", "channel_binding": "require"},
        {"sslmode": "require", "channel_binding": "disable"},
        {"sslmode": "require", "max_protocol_version": "3.2"},
    ],
)
def test_tls_logins(tls_gate: GateThread, certificate: tuple[Path, Path], more: dict[str, str]) -> None:
    values = {key: str(certificate[0]) if value == "CRT" else value for key, value in more.items()}
    with psycopg.connect(tls_gate.dsn(**values), autocommit=True) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT max(id) FROM secret").fetchone() == (5,)


def test_the_standard_event_loop_serves_as_well(room_address: RoomAddress, certificate: tuple[Path, Path]) -> None:
    config = ServerConfig(port=0, certificate=certificate[0], key=certificate[1])
    gate = GateThread(WordGate(room_address), config, asyncio.new_event_loop)
    try:
        for more in (
            {"sslmode": "disable"},
            {"sslmode": "require"},
            {"sslmode": "require", "sslnegotiation": "direct"},
        ):
            with psycopg.connect(gate.dsn(**more), autocommit=True) as connection:
                assert connection.execute("SELECT max(id) FROM secret WHERE id < %s", [4]).fetchone() == (3,)
    finally:
        gate.stop()
    assert len(gate.gate.departures) == 3


def test_plain_connections_are_refused_where_tls_is_required(tls_gate: GateThread) -> None:
    with pytest.raises(psycopg.OperationalError, match="this server requires TLS"):
        psycopg.connect(tls_gate.dsn(sslmode="disable"))


def test_plain_bytes_behind_ssl_request_close_the_connection(tls_gate: GateThread) -> None:
    with Raw(tls_gate.port, connect=False) as raw:
        raw.send(SSL_REQUEST + struct.pack("!II", 8, 3 << 16))
        assert raw.at_end()
    with psycopg.connect(tls_gate.dsn(sslmode="require")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_direct_tls_without_alpn_is_closed(tls_gate: GateThread) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", tls_gate.port), timeout=PATIENCE_S)
    with context.wrap_socket(plain) as wrapped, contextlib.suppress(ssl.SSLError, ConnectionError):
        wrapped.sendall(struct.pack("!II", 8, 3 << 16))
        assert wrapped.recv(10) == b""
    assert tls_gate.server.session_count == 0


def test_tls_not_configured_and_gss_declined(gate: GateThread) -> None:
    with Raw(gate.port, connect=False) as raw:
        raw.send(struct.pack("!II", 8, m.GSSENC_REQUEST))
        assert raw._exactly(1) == b"N"
        raw.send(SSL_REQUEST)
        assert raw._exactly(1) == b"N"
        raw.login()
        assert rows(raw.query("SELECT 1")) == [["1"]]
    with Raw(gate.port, connect=False) as raw:
        raw.send(SSL_REQUEST)
        assert raw._exactly(1) == b"N"
        raw.send(SSL_REQUEST)
        assert error(raw.until("E"))["C"] == "08P01"


def test_wrong_password_and_unknown_user_are_alike(gate: GateThread) -> None:
    texts = []
    for user, password in ((ROLE, "wrong"), ("nobody", f"'{PASSWORD}'")):
        with pytest.raises(psycopg.OperationalError) as raised:
            psycopg.connect(gate.dsn(user=user, password=password, sslmode="disable"))
        texts.append(str(raised.value).split("FATAL:")[1].replace(user, "USER").strip())
    assert texts[0] == texts[1] == 'password authentication failed for user "USER"'
    salts = {user: {_server_first(gate, user) for _ in range(3)} for user in (ROLE, "nobody", "noone")}
    assert all(len(salt) == 1 for salt in salts.values())
    assert len(set.union(*salts.values())) == 3
    assert not gate.gate.identities


def _server_first(gate: GateThread, user: str) -> tuple[str, str]:
    with Raw(gate.port, connect=False) as raw:
        raw.startup(0, {"user": user})
        assert raw.expect("R")[4:] == b"SCRAM-SHA-256\0\0"
        first = b"n,,n=,r=abcdefgh"
        raw.send(m.frame(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
        nonce, salt, iterations = raw.expect("R")[4:].decode().split(",")
        assert nonce.startswith("r=abcdefgh") and len(nonce) > 30
        return salt, iterations


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,,n=,r=",
        b"n,a=x,n=,r=abc",
        b"y,,m=1,r=abc",
        b"p=tls-unique,,n=,r=abc",
        b"p=tls-server-end-point,,n=,r=abc",
        b"\xff\xfe,,n=,r=abc",
        b"n,,n=,r=" + b"a" * 5000,
    ],
)
def test_malformed_scram_ends_with_the_same_error(gate: GateThread, first: bytes) -> None:
    with Raw(gate.port, connect=False) as raw:
        raw.startup(0, {"user": ROLE})
        raw.expect("R")
        raw.send(m.frame(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
        assert error(raw.until("E"))["C"] == "28P01"
        assert raw.at_end()


def test_channel_binding_downgrade_is_refused(start_gate: StartGate, certificate: tuple[Path, Path]) -> None:
    verifier = make_verifier(PASSWORD)
    with pytest.raises(ScramFailed):
        ScramServer(MECHANISM, verifier, b"hash").first(b"y,,n=,r=abc")
    assert ScramServer(MECHANISM, verifier, None).first(b"y,,n=,r=abc")
    with pytest.raises(ScramFailed):
        ScramServer(MECHANISM_PLUS, verifier, None)


def test_unknown_database(gate: GateThread) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        psycopg.connect(gate.dsn(dbname="nowhere"))
    with Raw(gate.port, connect=False) as raw, pytest.raises(ServerError) as raised:
        raw.startup(0, {"user": ROLE})  # database: as the user
        raw.authenticate(PASSWORD)
        raw.expect("Z")
    assert raised.value.fields["C"] == "3D000"


def test_startup_parameters_reach_the_room(gate: GateThread) -> None:
    parameters = {"application_name": "tool", "options": "-c statement_timeout=12345", "DateStyle": "German"}
    with Raw(gate.port, **parameters) as raw:
        assert raw.settings["application_name"] == "tool"
        assert raw.settings["DateStyle"] == "German, DMY"
        assert rows(raw.query("SHOW statement_timeout")) == [["12345ms"]]
        assert rows(raw.query("SELECT pg_backend_pid(), current_user")) == [[str(raw.pid), ROLE]]
        assert gate.gate.identities[0].application_name == "tool"
        assert gate.gate.identities[0].client_address == "127.0.0.1"


def test_room_errors_at_startup_are_relayed(gate: GateThread) -> None:
    with pytest.raises(ServerError) as raised:
        Raw(gate.port, options="-c no_such_setting=1").close()
    assert raised.value.fields["C"] == "42704"
    assert eventually(lambda: len(gate.gate.departures) == 1)


def test_client_encoding_at_startup(gate: GateThread) -> None:
    with pytest.raises(ServerError) as raised:
        Raw(gate.port, client_encoding="LATIN1").close()
    assert raised.value.fields["C"] == "22023"
    with Raw(gate.port, client_encoding="SQL_ASCII") as raw:
        assert rows(raw.query("SELECT 'é'")) == [["é"]]
    with Raw(gate.port, options="-c standard_conforming_strings=off") as raw:
        assert rows(raw.query("SHOW standard_conforming_strings")) == [["on"]]


def test_replication_is_refused(gate: GateThread) -> None:
    with pytest.raises(ServerError) as raised:
        Raw(gate.port, replication="database").close()
    assert raised.value.fields["C"] == "0A000"


def test_protocol_versions(gate: GateThread) -> None:
    for asked, answered, length in ((0, 0, 4), (2, 0, 32), (9, 2, 32)):
        with Raw(gate.port, connect=False) as raw:
            raw.login(minor=asked)
            assert (raw.minor, len(raw.secret)) == (answered, length)
    with Raw(gate.port, connect=False) as raw:
        raw.startup(0, {"user": ROLE, "database": "data", "_pq_.new": "1"})
        kind, body = raw.read()
        assert (kind, body) == ("v", struct.pack("!II", 3 << 16, 1) + b"_pq_.new\0")
    with Raw(gate.port, connect=False) as raw:
        raw.send(struct.pack("!II", 8, 2 << 16))
        assert error(raw.until("E"))["C"] == "0A000"
        assert raw.at_end()


def test_admission_may_be_refused(gate: GateThread) -> None:
    gate.gate.sessions_max = 1
    with Raw(gate.port) as first:
        with pytest.raises(ServerError) as raised:
            Raw(gate.port).close()
        assert raised.value.fields["C"] == "53300"
        assert rows(first.query("SELECT 1")) == [["1"]]


def test_room_that_cannot_be_reached(start_gate: StartGate) -> None:
    gate = start_gate()
    gate.gate.room = type(gate.gate.room)("/nonexistent/socket", "room", ROLE)
    with pytest.raises(ServerError) as raised:
        Raw(gate.port).close()
    assert raised.value.fields["C"] == "08006"


def test_deadline_for_authentication(start_gate: StartGate, certificate: tuple[Path, Path]) -> None:
    tls = {"certificate": certificate[0], "key": certificate[1]}
    ports = [start_gate(authentication_timeout_s=3.0, **files).port for files in ({}, tls)]
    authenticated = [Raw(port) for port in ports]
    started = time.monotonic()
    idle = [Raw(port, connect=False) for port in ports]
    for connection in idle:
        assert connection.at_end()
        assert time.monotonic() - started > 2.9
    for connection in authenticated:
        assert rows(connection.query("SELECT 1")) == [["1"]]
        connection.close()


def test_cap_on_unauthenticated_connections_drops_the_oldest(start_gate: StartGate) -> None:
    gate = start_gate(unauthenticated_max=5)
    with Raw(gate.port) as session:
        idle = [Raw(gate.port, connect=False) for _ in range(8)]
        assert all(connection.at_end() for connection in idle[:3])
        with Raw(gate.port) as another:
            assert rows(another.query("SELECT 1")) == [["1"]]
        assert rows(session.query("SELECT 1")) == [["1"]]
        for connection in idle:
            connection.close()


def test_unix_socket(start_gate: StartGate, tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    path = tmp_path / ".s.PGSQL.6432"
    gate = start_gate(unix_socket=path, certificate=certificate[0], key=certificate[1], tls_required=True)
    with psycopg.connect(gate.dsn(host=str(tmp_path), port=6432)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert gate.gate.identities[0].client_address == "local"
    gate.run(gate.server.close())
    assert not path.exists()


def test_two_ports_and_ipv6(start_gate: StartGate) -> None:
    try:
        gate = start_gate(hosts=("127.0.0.1", "::1"))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with psycopg.connect(gate.dsn(host="::1")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_port_in_use(gate: GateThread, start_gate: StartGate) -> None:
    with pytest.raises(OSError, match="in use"):
        asyncio.run(serve(ServerConfig(port=gate.port), {}, Analysts()))


def test_room_server_is_the_one_that_answers(gate: GateThread, room_server: EmbeddedServer) -> None:
    with Raw(gate.port) as raw:
        assert kinds(raw.query("SHOW data_directory")) == "EZ"
        assert raw.settings["server_version"].startswith("18")
        assert room_server.running
