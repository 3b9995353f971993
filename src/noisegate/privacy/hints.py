"""Hints with SQL: the question that would be answered in place of a refused subquery."""

from __future__ import annotations

from noisegate.query.tree import Call, Name, Op, Select, TableRef, walk


def joined_answer(select: Select) -> str:
    """For `(SELECT avg(p.x) FROM t p WHERE p.key = o.key)`: the answer for all keys, to be joined.

    Other forms have a hint without names.
    """
    form = "JOIN (SELECT key, {} FROM {} GROUP BY key) AS g ON g.key = ..., and use g.{}"
    call = next((n for i in select.items for n in walk(i.expr) if isinstance(n, Call)), None)
    source, where = select.source, select.where
    if not isinstance(source, TableRef):
        return form.format("avg(...) AS a", "...", "a")
    value = f"{call.name}({_argument(call)}) AS a" if call is not None else "avg(...) AS a"
    if not (isinstance(where, Op) and where.op == "=" and all(isinstance(a, Name) for a in where.args)):
        return form.format(value, source.table, "a")
    names = [a for a in where.args if isinstance(a, Name)]
    own = [n for n in names if n.parts[0] == source.alias]
    outer = [n for n in names if n.parts[0] != source.alias]
    if len(own) != 1 or len(outer) != 1 or len(outer[0].parts) != 2:
        return form.format(value, source.table, "a")
    key = own[0].parts[-1]
    inner = f"SELECT {key}, {value} FROM {source.table} GROUP BY {key}"
    return f"JOIN ({inner}) AS g ON g.{key} = {'.'.join(outer[0].parts)}, and use g.a"


def _argument(call: Call) -> str:
    if call.star:
        return "*"
    plain = len(call.args) == 1 and isinstance(call.args[0], Name)
    return call.args[0].parts[-1] if plain and isinstance(call.args[0], Name) else "..."
