"""What pg_get_viewdef prints of a statement, on a server with the tables of a test."""

from __future__ import annotations

import psycopg


class Deparser:
    """deparser(sql) is the text, without the final semicolon. Use as a context manager."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor)

    def __enter__(self) -> Deparser:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def __call__(self, sql: str) -> str:
        with self.connection.transaction(force_rollback=True):
            columns = len(self.connection.execute(f"SELECT * FROM ({sql}\n) AS q LIMIT 0").description or ())
            names = ", ".join(f"c{i}" for i in range(columns))
            self.connection.execute(f"CREATE TEMP VIEW _ng_v{'(' + names + ')' if names else ''} AS {sql}\n")
            self.connection.execute("SET LOCAL search_path = ''")
            (text,) = self.connection.execute("SELECT pg_get_viewdef(to_regclass('pg_temp._ng_v'))").fetchone()
        return text.strip().removesuffix(";")
