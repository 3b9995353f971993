"""Databases on the embedded data server that a test session shares."""

from __future__ import annotations

import itertools
import os

import psycopg

from noisegate.room.embedded import EmbeddedServer

_numbers = itertools.count(1)


def new_database(server: EmbeddedServer, *scripts: str) -> str:
    """Make an empty database, run `scripts` in it, return its DSN (as its superuser)."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    dsn = server.dsn(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for script in scripts:
            connection.execute(script.encode())
    return dsn
