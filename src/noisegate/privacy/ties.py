"""Which rows of a FROM clause meet: the equalities that hold, which sources they tie to one unit, and which sources
they leave at most one row of.

Everything is a function of the text and of enforced constraints. Columns are pairs (generated alias, name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from noisegate.plan.units import UNIT, Determinant, Label
from noisegate.privacy.columns import OWN_UNIT, Source
from noisegate.query.tree import Cast, Expr, From, Join, Name, Op, Subquery, walk
from noisegate.query.values import INTS

ColumnId = tuple[str, str]  # generated alias, name
Find = Callable[[Name], tuple[Source, str] | None]


def conjuncts_of(expr: Expr | None) -> tuple[Expr, ...]:
    """The conditions that all must hold."""
    if expr is None:
        return ()
    if isinstance(expr, Op) and expr.op == "and":
        return tuple(c for arg in expr.args for c in conjuncts_of(arg))
    return (expr,)


def plain_name(expr: Expr) -> Name | None:
    """The column beneath casts that keep different values different (varchar to text)."""
    if isinstance(expr, Cast) and expr.type == "text":
        expr = expr.arg
    return expr if isinstance(expr, Name) else None


@dataclass
class Classes:
    """A union-find over columns."""

    parent: dict[ColumnId, ColumnId] = field(default_factory=dict)

    def find(self, x: ColumnId) -> ColumnId:
        while (up := self.parent.get(x, x)) != x:
            x = up
        return x

    def union(self, a: ColumnId, b: ColumnId) -> bool:
        """Whether that changed anything."""
        a, b = self.find(a), self.find(b)
        self.parent[a] = b
        return a != b


@dataclass(frozen=True)
class Ties:
    """sources: the leaves of the tree, by the text's alias. outer: private sources of the queries around it, whose rows
    are there. find: the source and column that a name means. using: the equalities of a join's USING."""

    tree: From
    where: tuple[Expr, ...]
    sources: Mapping[str, Source]
    outer: Sequence[Source]
    find: Find
    using: Callable[[Join], tuple[Expr, ...]]

    # -- presence -------------------------------------------------------------------------------------------------
    def _present(self, start: Iterable[str]) -> tuple[set[str], list[Op]]:
        """The text's aliases of the sources that are not filled up with NULLs in a final row in which those of `start`
        are not, and the equalities that then hold.

        Claim: both hold in every row that passes WHERE. Because: a condition of a join holds where both of its sides
        are there; both are, in an inner join, and the near side is, in an outer one; the far side is where one of its
        tables is; a column in an equality that holds is not NULL, so its table is there.
        """
        present = set(start)
        while True:
            held = [c for c in self.where if isinstance(c, Op) and c.op == "="] + self._force(self.tree, present)
            mentioned = {name for op in held for name in self._aliases(op)}
            if mentioned <= present:
                return present, held
            present |= mentioned

    def _aliases(self, op: Op) -> set[str]:
        found = set()
        for side in op.args:
            name = plain_name(side)
            hit = self.find(name) if name is not None else None
            if hit is not None and self.sources.get(hit[0].alias) is hit[0]:
                found.add(hit[0].alias)
        return found

    def _force(self, node: From, present: set[str]) -> list[Op]:
        if not isinstance(node, Join):
            present.add(node.alias)
            return []
        left, right = (any(a in present for a in aliases_of(n)) for n in (node.left, node.right))
        keep_left = node.kind in ("inner", "cross", "left") or left
        keep_right = node.kind in ("inner", "cross", "right") or right
        held: list[Op] = []
        if keep_left and keep_right:
            conditions = conjuncts_of(node.on) or self.using(node)
            held += [c for c in conditions if isinstance(c, Op) and c.op == "="]
        held += self._force(node.left, present) if keep_left else []
        return held + (self._force(node.right, present) if keep_right else [])

    # -- ties -----------------------------------------------------------------------------------------------------
    def tied_to(self, anchor: Source) -> tuple[set[str], set[str]]:
        """(generated aliases of the sources that are of the anchor's unit and there whenever it is; text's aliases of
        all that are there whenever it is)."""
        present, held = self._present({anchor.alias})
        return self._group(anchor, present, held), present

    def same_unit(self, anchor: Source, other: Source) -> bool:
        """Claim: in every row where both are there, both are of one unit; and where `other` is there, `anchor` is.

        Because: they agree in columns that determine the unit (plan/units.py), by equalities that hold in that row.
        Checked by: tests/privacy/test_relation.py, tests/privacy/test_neighbours.py.
        """
        present, held = self._present({other.alias})
        return anchor.alias in present and other.sql_alias in self._group(anchor, present, held)

    def meets(self, one: Source, other: Source) -> bool:
        """Whether both are of one unit in every row where both are there (one of which may be missing)."""
        present, held = self._present({one.alias, other.alias})
        return other.sql_alias in self._group(one, present, held)

    def tied_outside(self, anchor: Source) -> tuple[str, ...]:
        """Generated aliases of the outer sources whose unit is the anchor's."""
        present, held = self._present({anchor.alias})
        group = self._group(anchor, present, held)
        return tuple(s.sql_alias for s in self.outer if s.sql_alias in group)

    def _group(self, anchor: Source, present: set[str], held: Iterable[Op]) -> set[str]:
        nodes = [s for a, s in self.sources.items() if a in present and s.private] + list(self.outer)
        classes = self._classes(held)
        group = {anchor.sql_alias, *anchor.tied}
        changed = True
        while changed:
            changed = False
            inside = [s for s in nodes if s.sql_alias in group]
            for unit in (_unit_column(s) for s in inside[1:]):
                first = _unit_column(inside[0])
                if unit is not None and first is not None:
                    changed |= classes.union(first, unit)
            for s in nodes:
                if s.sql_alias in group:
                    continue
                if set(s.tied) & group or any(_agree(s, t, classes) for t in inside):
                    group.add(s.sql_alias)
                    changed = True
        return group

    def _classes(self, held: Iterable[Op]) -> Classes:
        classes = Classes()
        for op in held:
            pair = [self._id(side) for side in op.args]
            if len(pair) == 2 and pair[0] is not None and pair[1] is not None and self._alike(*op.args):
                classes.union(pair[0], pair[1])
        return classes

    def _id(self, expr: Expr) -> ColumnId | None:
        name = plain_name(expr)
        hit = self.find(name) if name is not None else None
        return (hit[0].sql_alias, hit[1]) if hit is not None else None

    def _alike(self, one: Expr, other: Expr) -> bool:
        """Whether equality of the two is that of their values: several bigints equal one double precision, and several
        times of day one instant, so that equalities across such types do not add up."""
        types = {self._type(one), self._type(other)}
        return len(types) == 1 or types <= INTS

    def _type(self, side: Expr) -> str:
        if isinstance(side, Cast):
            return "text"
        hit = self.find(side) if isinstance(side, Name) else None
        return hit[0].column(hit[1]).value.type if hit is not None else ""

    # -- how many rows --------------------------------------------------------------------------------------------
    def single(self, start: Iterable[Source], *, unit_known: bool = False) -> set[str]:
        """Generated aliases of the sources that have at most one row for a given row of each source in `start` (and, if
        `unit_known`, for a given unit).

        Claim: so it is. Assumes: `keys` are enforced, and read again in the engine's transaction.
        Because: a source whose key is equated with expressions over sources that are themselves single contributes at
        most one row; a LATERAL one does so for one row of each of those that it reads, which must be single before it.
        A condition restricts only the sources that it can remove: that of an outer join, its far side, and its near
        side, too, where a source of the far side is given.
        Checked by: tests/privacy/test_relation.py.
        """
        start = list(start)
        single = {s.sql_alias for s in start} | {s.sql_alias for s in self.outer}
        equalities = self._restricting({s.alias for s in start})
        pending = [s for s in self.sources.values() if s.sql_alias not in single]
        progress = True
        while pending and progress:
            progress = False
            for source in list(pending):
                known = self._known(source, equalities, single)
                if unit_known and source.private:
                    known |= {c for d in source.determinants if d.label == UNIT for c in d.columns} | {OWN_UNIT}
                if source.beside <= single and any(key <= known for key in source.keys):
                    single.add(source.sql_alias)
                    pending.remove(source)
                    progress = True
        return single

    def sides(self) -> list[Source]:
        """Private sources of which a unit may have several rows, and none has one row only for given rows of the
        others: where there are two, the rows of a unit multiply."""
        given = self.single([], unit_known=True)
        found = [s for s in self.sources.values() if s.private and s.sql_alias not in given]
        for source in list(found):
            rest = [s for s in found if s is not source]
            if source.sql_alias in self.single(rest, unit_known=True):
                found = rest
        return found

    def names(self, outer: Source) -> bool:
        """Whether a row of the block meets at most one row of a source around it, by an enforced key of that source."""
        _, held = self._present(self.sources)
        named = set()
        for op in held:
            owners = [self.find(n) for n in map(plain_name, op.args) if n is not None]
            for this, other in zip(owners, owners[::-1], strict=True):
                if this is not None and other is not None and this[0].sql_alias == outer.sql_alias:
                    named |= {this[1]} if self.sources.get(other[0].alias) is other[0] else set()
        return any(key <= named for key in outer.keys)

    def agreed(self, one: Source, other: Source) -> frozenset[Label]:
        """Labels of the determinants in which two sources, one of which may be around the block, always agree."""
        _, held = self._present(s.alias for s in (one, other) if self.sources.get(s.alias) is s)
        classes = self._classes(held)
        pairs = ((d, e) for d in one.determinants for e in other.determinants if d.label == e.label)
        return frozenset(d.label for d, e in pairs if _equal(d, one, e, other, classes))

    def _restricting(self, given: set[str]) -> list[tuple[Op, frozenset[str]]]:
        """Equalities, each with the aliases (of the text) of the sources whose rows it restricts. given: those whose
        row is there."""
        everything = frozenset(self.sources)
        found = [(c, everything) for c in self.where if isinstance(c, Op) and c.op == "="]
        pending: list[From] = [self.tree]
        while pending:
            node = pending.pop()
            if not isinstance(node, Join):
                continue
            pending += [node.left, node.right]
            if node.kind == "full":
                continue
            side = {"left": node.right, "right": node.left}.get(node.kind, node)
            conditions = conjuncts_of(node.on) or self.using(node)
            restricted = frozenset(aliases_of(node if given & set(aliases_of(side)) else side))
            found += [(c, restricted) for c in conditions if isinstance(c, Op) and c.op == "="]
        return found

    def _known(self, source: Source, equalities: Iterable[tuple[Op, frozenset[str]]], single: set[str]) -> set[str]:
        """The source's columns that are equal to something over single sources."""
        known: set[str] = set()
        for op, restricted in equalities:
            if source.alias not in restricted or len(op.args) != 2:
                continue
            for this, other in (op.args, op.args[::-1]):
                name = plain_name(this)
                hit = self.find(name) if name is not None else None
                if hit is None or hit[0] is not source:
                    continue
                owners = [self.find(n) for n in walk(other) if isinstance(n, Name)]
                if all(o is not None and (o[0].sql_alias in single) for o in owners) and _is_simple(other):
                    known.add(hit[1])
        return known


def _is_simple(expr: Expr) -> bool:
    """No subquery, whose names are not in `walk`."""
    return not any(isinstance(n, Subquery) for n in walk(expr))


def _unit_column(source: Source) -> ColumnId | None:
    unit = next((d for d in source.determinants if d.label == UNIT), None)
    return (source.sql_alias, unit.columns[0]) if unit is not None else None


def _agree(a: Source, b: Source, classes: Classes) -> bool:
    return any(_equal(d, a, e, b, classes) for d in a.determinants for e in b.determinants if d.label == e.label)


def _equal(d: Determinant, a: Source, e: Determinant, b: Source, classes: Classes) -> bool:
    pairs = zip(d.columns, e.columns, strict=True)
    return all(classes.find((a.sql_alias, x)) == classes.find((b.sql_alias, y)) for x, y in pairs)


def aliases_of(node: From) -> list[str]:
    """The text's aliases of the items of a FROM clause, left to right."""
    if isinstance(node, Join):
        return aliases_of(node.left) + aliases_of(node.right)
    return [node.alias]
