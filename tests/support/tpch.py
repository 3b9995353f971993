"""TPC-H's data in PostgreSQL: eight tables as the specification declares them (version 3, clause 1.4), with its keys.

The files come from the program of the package `tpchgen-cli`, which makes the same rows each time. Test sessions and the
figures in bench/ load them by this one function.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

SCALE: Final = 0.05  # of tests: 7,500 customers, 75,000 orders, 300,000 line items
POLICY: Final = Path(__file__).with_suffix(".yaml")  # its tables; limits, price and budgets are to be added
_CHUNK_BYTES: Final = 1 << 20

# In the order of clause 1.4.1; columns in the order of the files. Fixed texts are char, variable ones varchar.
TABLES: Final = {
    "region": "r_regionkey int NOT NULL, r_name char(25) NOT NULL, r_comment varchar(152) NOT NULL",
    "nation": (
        "n_nationkey int NOT NULL, n_name char(25) NOT NULL, n_regionkey int NOT NULL, n_comment varchar(152) NOT NULL"
    ),
    "part": (
        "p_partkey int NOT NULL, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, p_brand char(10) NOT NULL, "
        "p_type varchar(25) NOT NULL, p_size int NOT NULL, p_container char(10) NOT NULL, "
        "p_retailprice numeric(15,2) NOT NULL, p_comment varchar(23) NOT NULL"
    ),
    "supplier": (
        "s_suppkey int NOT NULL, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL, s_nationkey int NOT NULL, "
        "s_phone char(15) NOT NULL, s_acctbal numeric(15,2) NOT NULL, s_comment varchar(101) NOT NULL"
    ),
    "partsupp": (
        "ps_partkey int NOT NULL, ps_suppkey int NOT NULL, ps_availqty int NOT NULL, "
        "ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL"
    ),
    "customer": (
        "c_custkey int NOT NULL, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, "
        "c_nationkey int NOT NULL, c_phone char(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL, "
        "c_mktsegment char(10) NOT NULL, c_comment varchar(117) NOT NULL"
    ),
    "orders": (
        "o_orderkey int NOT NULL, o_custkey int NOT NULL, o_orderstatus char(1) NOT NULL, "
        "o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL, "
        "o_clerk char(15) NOT NULL, o_shippriority int NOT NULL, o_comment varchar(79) NOT NULL"
    ),
    "lineitem": (
        "l_orderkey int NOT NULL, l_partkey int NOT NULL, l_suppkey int NOT NULL, l_linenumber int NOT NULL, "
        "l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL, "
        "l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, "
        "l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL, "
        "l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL"
    ),
}
# Clause 1.4.2: primary and foreign keys; and the indexes that let PostgreSQL answer the correlated queries in time.
_PRIMARY: Final = (
    "ALTER TABLE region ADD PRIMARY KEY (r_regionkey)",
    "ALTER TABLE nation ADD PRIMARY KEY (n_nationkey)",
    "ALTER TABLE part ADD PRIMARY KEY (p_partkey)",
    "ALTER TABLE supplier ADD PRIMARY KEY (s_suppkey)",
    "ALTER TABLE partsupp ADD PRIMARY KEY (ps_partkey, ps_suppkey)",
    "ALTER TABLE customer ADD PRIMARY KEY (c_custkey)",
    "ALTER TABLE orders ADD PRIMARY KEY (o_orderkey)",
    "ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber)",
)
_FOREIGN: Final = (
    "ALTER TABLE nation ADD FOREIGN KEY (n_regionkey) REFERENCES region",
    "ALTER TABLE supplier ADD FOREIGN KEY (s_nationkey) REFERENCES nation",
    "ALTER TABLE partsupp ADD FOREIGN KEY (ps_partkey) REFERENCES part",
    "ALTER TABLE partsupp ADD FOREIGN KEY (ps_suppkey) REFERENCES supplier",
    "ALTER TABLE customer ADD FOREIGN KEY (c_nationkey) REFERENCES nation",
    "ALTER TABLE orders ADD FOREIGN KEY (o_custkey) REFERENCES customer",
    "ALTER TABLE lineitem ADD FOREIGN KEY (l_orderkey) REFERENCES orders",
    "ALTER TABLE lineitem ADD FOREIGN KEY (l_partkey, l_suppkey) REFERENCES partsupp",
    "CREATE INDEX orders_custkey ON orders (o_custkey)",
    "CREATE INDEX lineitem_partkey ON lineitem (l_partkey, l_suppkey)",
    "CREATE INDEX partsupp_suppkey ON partsupp (ps_suppkey)",
)


def load(dsn: str, scale: float = SCALE) -> None:
    """Fill the empty database `dsn`: rows, keys, statistics. About 5 s at scale 0.05 and 2 minutes at scale 1."""
    with tempfile.TemporaryDirectory(prefix="ng-tpch-") as name:
        folder = Path(name)
        _generate(folder, scale)
        with ThreadPoolExecutor(2) as two:
            for done in [two.submit(_load_table, dsn, table, folder) for table in reversed(TABLES)]:
                done.result()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '256MB'")
        for step in (*_PRIMARY, *_FOREIGN):
            connection.execute(step)
        connection.execute("VACUUM (ANALYZE)")


def _generate(folder: Path, scale: float) -> None:
    program = Path(sys.executable).parent / "tpchgen-cli"  # beside this interpreter, whatever PATH says
    command = [program, "csv", "--scale-factor", f"{scale:g}", "--output-dir", folder, "--quiet", "--no-progress"]
    subprocess.run(command, check=True, capture_output=True)


def _load_table(dsn: str, table: str, folder: Path) -> None:
    """In one transaction, so that COPY writes rows that are frozen already."""
    name = sql.Identifier(table)
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(TABLES[table])))
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER, FREEZE)").format(name)
        with (folder / f"{table}.csv").open("rb") as file, cursor.copy(statement) as copy:
            while chunk := file.read(_CHUNK_BYTES):
                copy.write(chunk)
