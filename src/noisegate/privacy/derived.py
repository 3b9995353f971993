"""Nested queries as sources: the generated SQL of a subquery whose rows still belong to one unit each.

Invariant: a private source's rows carry their unit in a hidden column of the generated SQL, by lineage, whatever the
analyst's own columns are called. What aggregates over several units is no source: the split cuts it out as a fragment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from noisegate.errors import Refused, Unsupported, about
from noisegate.plan.units import UNIT, Determinant
from noisegate.privacy.anchor import unit_name
from noisegate.privacy.bodies import Body, Output, source_of
from noisegate.privacy.columns import OWN_UNIT, Fact, Source
from noisegate.privacy.forms import settled, shown, sort_sql
from noisegate.privacy.hints import joined_answer
from noisegate.privacy.joins import condition_sql
from noisegate.privacy.keys import left_of
from noisegate.privacy.relation import Resolver
from noisegate.privacy.ties import ColumnId
from noisegate.privacy.unions import combine
from noisegate.privacy.within import AGGREGATES, Within
from noisegate.privacy.world import Relation, World
from noisegate.query.total import Scope, compile_expr
from noisegate.query.total.narrow import narrowings
from noisegate.query.tree import Call, Expr, Literal, Name, Query, Select, SetOp, Subquery, SubqueryRef, walk
from noisegate.query.values import Value

LIMIT_MAX = 1_000_000


def derive(item: SubqueryRef, sql_alias: str, world: World, outer: Resolver | None) -> Source:
    """A subquery in FROM as a source. Raises NoisegateError for what does not stay within units."""
    source = source_of(body_of(item.query, item.columns, world, outer), item.alias, sql_alias)
    if not item.lateral or outer is None:
        return source
    beside = frozenset(s.sql_alias for s in outer.sources)  # those before it
    return replace(source, sql=f"LATERAL {source.sql}", beside=beside)


# -- bodies -----------------------------------------------------------------------------------------------------------
def body_of(query: Query, columns: Sequence[str], world: World, outer: Resolver | None) -> Body:
    with about(query.start, query.end):
        body = _body(query, world, outer)
    if not columns:
        return body
    named = [*columns, *(o.name for o in body.outputs[len(columns) :])]
    return _renamed(body, named)


def _body(query: Query, world: World, outer: Resolver | None) -> Body:
    match query:
        case Select():
            return _select(query, world, outer)
        case SetOp():
            left, right = body_of(query.left, (), world, outer), body_of(query.right, (), world, outer)
            return combine(query, left, right)
        case _:
            raise Unsupported("VALUES with columns of a private question are not supported", name="values")


def _renamed(body: Body, wanted: Sequence[str]) -> Body:
    names = unambiguous(wanted)
    mapping = {o.name: n for o, n in zip(body.outputs, names, strict=True)}
    mapping[OWN_UNIT] = OWN_UNIT
    return replace(
        body,
        outputs=tuple(replace(o, name=n) for o, n in zip(body.outputs, names, strict=True)),
        determinants=tuple(Determinant(d.label, tuple(mapping[c] for c in d.columns)) for d in body.determinants),
        keys=tuple(frozenset(mapping[c] for c in k) for k in body.keys),
    )


def _select(select: Select, world: World, outer: Resolver | None) -> Body:
    if select.source is None:
        return _beside(select, outer)
    if select.sets is not None:
        raise Unsupported(
            "GROUPING SETS inside a private question are not supported",
            name="group",
            hint="Use them in the outermost question over people.",
        )
    resolver = Resolver(select.source, world, outer)
    relation = _of_people(resolver.relate(select.where))
    items = zip(select.items, unambiguous([i.name for i in select.items]), strict=True)
    select = replace(select, items=tuple(replace(i, name=name) for i, name in items))
    resolver.narrowed.update(narrowings(relation.conjuncts, resolver.scope))
    within = Within(resolver, relation, select)
    if select.grouped:
        return _grouped(select, resolver, relation, within)
    return _rows(select, resolver, relation, within)


def _beside(select: Select, outer: Resolver | None) -> Body:
    """A subquery without FROM: `LATERAL (SELECT a.x + 1 AS y) AS l`, one row beside each row around it.

    Claim: its row is of the unit of the row beside it. Because: it is computed from that row alone; which unit that is,
    the block around shows for all of its private sources. Checked by: tests/privacy/test_neighbours_joins.py.
    """
    plain = not (select.grouped or select.distinct or select.distinct_on or select.limit or select.offset)
    if outer is None or select.where is not None or not plain:
        raise Unsupported(
            "a subquery without FROM is not supported in this form in a private question",
            name="select",
            hint="Write its expressions where they are used.",
        )
    values = [shown(compile_expr(i.expr, outer.scope)) for i in select.items]
    names = unambiguous([i.name for i in select.items])
    private = outer.private_sources()
    facts = Fact(False, private=bool(private))
    outputs = tuple(Output(n, v, facts) for n, v in zip(names, values, strict=True))
    sql = f"SELECT {', '.join(f'{v.sql} AS c{i}' for i, v in enumerate(values))}"
    tied = tuple(s.sql_alias for s in private)
    return Body(sql, outputs, bool(private), None, (), (), tied, True)


def _of_people(relation: Relation) -> Relation:
    """A block with rows that exist because nobody matches (an outer join that keeps public rows).

    Claim: each row is of one unit. Because: where the block is tied to the unit of an outer row, such a row depends on
    that unit and public rows alone; elsewhere it would belong to nobody, be dropped, and be missed: refused.
    """
    if not relation.strict:
        return relation
    if not relation.tied:
        raise Unsupported(
            "an outer join that keeps public rows is not supported in a subquery over people's rows",
            name="join",
            detail="A row that exists because no person matches belongs to nobody.",
            hint="Use an inner join there, or make the outer join in the outermost question over people.",
        )
    return replace(relation, unit=None)


def unambiguous(names: Sequence[str]) -> list[str]:
    """The names, of which a later equal one gets a name that no text can spell: facts of columns go by name."""
    seen: set[str] = set()
    found = []
    for i, name in enumerate(names):
        found.append(f"{name}\0{i}" if name in seen else name)
        seen.add(name)
    return found


def _facts(resolver: Resolver, relation: Relation, value: Value, expr: Expr, *, plain: bool) -> Fact:
    """What is known of an output. `plain`: rows are those of FROM, none merged by this block's own doing."""
    found = None
    if value.column is not None:
        found = next((s for s in resolver.sources if s.sql_alias == value.column[0]), None)
        if found is None:
            return Fact(False, private=relation.anchor is not None)
        column = found.column(value.column[1])
        fact = resolver.fact_of(found, column.fact, relation)
        fact = fact if plain else replace(fact, policy=None, multiplied=True)
        value = column.value  # as conditions name it
    else:
        fact = Fact(False, resolver.is_merged_unit(expr), private=relation.anchor is not None)
        value = value if _is_of_tables(expr, resolver) else replace(value, finite=None)
    snapshot = resolver.world.snapshot
    known = left_of(value, fact if found else None, relation.conjuncts, snapshot, resolver.scope)
    return replace(fact, left=known)


def _is_of_tables(expr: Expr, resolver: Resolver) -> bool:
    """Whether its columns are those of tables: of a number of rows, no policy promises what it is within."""
    nodes = list(walk(expr))
    hits = [resolver.find(n) for n in nodes if isinstance(n, Name)]
    if any(isinstance(n, Subquery) or (isinstance(n, Call) and (n.star or n.name in AGGREGATES)) for n in nodes):
        return False
    return all(hit is not None and hit[0].column(hit[1]).fact.table is not None for hit in hits)


def _rows(select: Select, resolver: Resolver, relation: Relation, within: Within) -> Body:
    """Rows as they are, or DISTINCT ones.

    Claim: each row belongs to the unit of the row it is made from. Because: a projection keeps rows; DISTINCT merges
    only rows of one unit, since the unit is one of its columns.
    """
    values = [shown(compile_expr(i.expr, within.scope)) for i in select.items]
    if select.distinct:
        values = [settled(v) for v in values]
    outputs = tuple(
        Output(i.name, v, _facts(resolver, relation, v, i.expr, plain=not select.distinct))
        for i, v in zip(select.items, values, strict=True)
    )
    columns = [f"{v.sql} AS c{i}" for i, v in enumerate(values)]
    if relation.unit is not None:
        columns.append(f"{relation.unit.sql} AS u")
    distinct, order = _distinct(select, resolver, relation, within)
    tail = order + _limit(select, relation, within)
    where = _where(relation, resolver.scope)
    sql = f"SELECT {distinct}{', '.join(columns)} FROM {relation.from_sql}{where}{tail}"
    determinants = _determinants(resolver, relation, outputs)
    keys = _keys(resolver, _names(outputs))
    if select.distinct and not select.distinct_on:
        keys += (frozenset({*(o.name for o in outputs), OWN_UNIT}),)
    if relation.one_row_per_unit:
        keys += (frozenset({OWN_UNIT}),)
    single = resolver.is_single() or (select.limit is not None and _is_one(select.limit, resolver))
    rows = "" if tail or _windowed(select) else f"FROM {relation.from_sql}{where or ' WHERE true'}"
    return Body(
        sql, outputs, relation.anchor is not None, relation.unit, determinants, keys, relation.tied, single, rows
    )


def _windowed(select: Select) -> bool:
    return any(isinstance(n, Call) and n.over is not None for i in select.items for n in walk(i.expr))


def _distinct(select: Select, resolver: Resolver, relation: Relation, within: Within) -> tuple[str, str]:
    """(DISTINCT [ON (...)], ORDER BY ...) of a block of rows."""
    cut = select.limit is not None or select.offset is not None
    if cut and select.distinct:
        raise Unsupported("LIMIT beside DISTINCT is not supported inside a private question", name="limit")
    if not select.distinct_on:
        order = within.order(select.order) if cut else ""
        return ("DISTINCT " if select.distinct else ""), order
    values = [settled(compile_expr(e, within.scope)) for e in select.distinct_on]
    if relation.anchor is not None and not relation.tied and not within.names_unit(values, select.distinct_on):
        raise Refused(
            "DISTINCT ON inside a private question needs the privacy unit among its columns",
            name="distinct",
            hint=f"Write DISTINCT ON ({unit_name(relation.anchor)}, ...), or use GROUP BY.",
        )
    first = [sort_sql(v) for v in values]
    rest = [k for k in select.order if not any(compile_expr(k.expr, within.scope).sql == v.sql for v in values)]
    order = within.order(rest, first=first)
    return f"DISTINCT ON ({', '.join(v.sql for v in values)}) ", order


def _limit(select: Select, relation: Relation, within: Within) -> str:
    """LIMIT and OFFSET, where all rows that they choose from are of one unit.

    Claim: which rows stay depends on one unit's rows only. Because: the block is tied to the unit of an outer row, and
    its order is total.
    """
    if select.limit is None and select.offset is None:
        return ""
    if relation.anchor is not None and not relation.tied:
        raise Refused(
            "LIMIT would choose among several people's rows",
            name="limit",
            detail="Which rows stay would depend on all of them.",
            hint="Take each person's first rows: number them in a subquery by row_number() OVER (PARTITION BY "
            f"{unit_name(relation.anchor)} ORDER BY ...) AS n, and ask WHERE n <= 3.",
        )
    if select.with_ties:
        raise Unsupported("FETCH ... WITH TIES is not supported inside a private question", name="fetch")
    text = ""
    for word, expr in (("LIMIT", select.limit), ("OFFSET", select.offset)):
        if expr is not None and not (isinstance(expr, Literal) and expr.text is None):
            text += f" {word} {within.count(expr, LIMIT_MAX)}"
    return text


def _is_one(expr: Expr, resolver: Resolver) -> bool:
    const = resolver.world.constants.get((expr.start, expr.end))
    return const is not None and const.number == 1


def _grouped(select: Select, resolver: Resolver, relation: Relation, within: Within) -> Body:
    """An aggregation within units.

    Claim: each row is made of rows of one unit, and belongs to it. Because: the groups are split by columns that
    determine the unit (plan/units.py) of a source that is there in every row, and by the unit itself; or the block is
    tied to the unit of an outer row.
    """
    keys = [settled(compile_expr(e, within.scope)) for e in select.group]
    if any(k.const is not None for k in keys):
        raise Unsupported("grouping by a constant is not supported inside a private question", name="group")
    if select.distinct or select.distinct_on:
        raise Unsupported("DISTINCT beside GROUP BY is not supported inside a private question", name="distinct")
    if relation.anchor is not None and not relation.tied and not within.names_unit(keys, select.group):
        raise Refused(
            "a subquery that aggregates over several people is a question of its own",
            name="select",
            detail="Beside one person's row, only that person's rows and released answers may count.",
            hint=f"Add {unit_name(relation.anchor)} to its GROUP BY."
            if keys
            else f"Ask it for all values at once, and join its answer: {joined_answer(select)}",
        )
    within.group_by(keys)
    values = [shown(within.output(i.expr)) for i in select.items]
    outputs = tuple(
        Output(i.name, v, within.fact(i.expr, _facts(resolver, relation, v, i.expr, plain=False)))
        for i, v in zip(select.items, values, strict=True)
    )
    columns = [f"{v.sql} AS c{i}" for i, v in enumerate(values)]
    grouping = [k.sql for k in keys]
    own = relation.unit if keys else None  # without GROUP BY there is one row, even over nothing
    if own is not None:
        columns.append(f"{own.sql} AS u")
        grouping.append(own.sql)
    having = f" HAVING {condition_sql(select.having, within.scope)}" if select.having is not None else ""
    tail = _limit(select, relation, within)
    order = within.order(select.order) if tail else ""
    grouping += within.determined()
    group = f" GROUP BY {', '.join(dict.fromkeys(grouping))}" if grouping else ""
    sql = f"SELECT {', '.join(columns)} FROM {relation.from_sql}{_where(relation, resolver.scope)}{group}{having}"
    unique = _group_key(keys, outputs, own)
    return Body(
        sql + order + tail,
        outputs,
        relation.anchor is not None,
        own,
        _determinants(resolver, relation, outputs) if keys else (),
        unique,
        relation.tied,
        not keys,
    )


def _group_key(keys: Sequence[Value], outputs: Sequence[Output], own: Value | None) -> tuple[frozenset[str], ...]:
    """The outputs that name a group, if all keys are among them; the unit itself stands for its own column."""
    found: set[str] = set()
    for key in keys:
        shown = next((o.name for o in outputs if o.value.sql == key.sql), None)
        if shown is None and own is not None and key.sql == own.sql:
            shown = OWN_UNIT
        if shown is None:
            return ()
        found.add(shown)
    sets = [frozenset(found)] if found else []
    if own is not None and any(k.sql == own.sql for k in keys):
        unit = {o.name for o in outputs if o.value.sql == own.sql}
        sets.append(frozenset((found - unit) | {OWN_UNIT}))
    return tuple(sets)


def _where(relation: Relation, scope: Scope) -> str:
    parts = [condition_sql(c, scope) for c in relation.where]
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def _names(outputs: Sequence[Output]) -> dict[ColumnId, str]:
    """Output names of plain columns."""
    found: dict[ColumnId, str] = {}
    for o in outputs:
        if o.value.column is not None:
            found.setdefault(o.value.column, o.name)
    return found


def _determinants(resolver: Resolver, relation: Relation, outputs: Sequence[Output]) -> tuple[Determinant, ...]:
    """Those of sources that are there in every row, as far as their columns are outputs; and the unit itself."""
    names = _names(outputs)
    found = [Determinant(UNIT, (o.name,)) for o in outputs if o.value.column is None and o.fact.unit]
    for source in resolver.sources:
        if source.sql_alias not in relation.present:
            continue
        for d in source.determinants:
            shown = [names.get((source.sql_alias, c)) for c in d.columns]
            if all(s is not None for s in shown):
                found.append(Determinant(d.label, tuple(s for s in shown if s is not None)))
    return tuple(found)


def _keys(resolver: Resolver, names: Mapping[ColumnId, str]) -> tuple[frozenset[str], ...]:
    """Keys of sources whose rows no join repeats. Those of LATERAL ones name a row beside an outer row only; where an
    outer join fills a source up with NULLs, any number of rows lack one."""
    found = []
    for source in resolver.sources:
        if source.beside or resolver.is_nullable(source) or resolver.repeats(source):
            continue
        for key in source.keys:
            shown = {OWN_UNIT if c == OWN_UNIT else names.get((source.sql_alias, c)) for c in key}
            if None not in shown:
                found.append(frozenset(s for s in shown if s is not None))
    return tuple(found)
