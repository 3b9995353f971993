"""mode() over values that nobody declared: a question of its own, and the largest of its answers."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from noisegate.errors import Unsupported
from noisegate.mechanisms.computed import computed
from noisegate.plan.measure import DeclaredGroups, FragmentPlan, GroupKey, Largest, NoisyTable
from noisegate.plan.trust import Release
from noisegate.room.embedded import EmbeddedServer
from privacy.test_neighbours import SCHEMA, SECRETS, Data, databases
from privacy.test_neighbours_parts import CLIPS, Parts, texts
from support.planner import Planned, Planner
from support.servers import new_database

STATEMENTS = (
    "SELECT mode() WITHIN GROUP (ORDER BY kind) FROM events",
    "SELECT mode() WITHIN GROUP (ORDER BY qty) FILTER (WHERE kind = 'a'), count(*) FROM events",
    "SELECT region, mode() WITHIN GROUP (ORDER BY kind), avg(qty) FROM events GROUP BY region",
    "SELECT kind, mode() WITHIN GROUP (ORDER BY wild DESC) FROM events GROUP BY kind",
    "SELECT mode() WITHIN GROUP (ORDER BY age) FROM users WHERE vip",
)


@pytest.fixture(scope="module")
def parts(data_server: EmbeddedServer) -> Iterator[Parts]:
    dsn = new_database(data_server, SCHEMA)
    with (
        Planner(dsn, CLIPS) as planner,
        psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection,
    ):
        yield Parts(planner, connection, ("SELECT count(*) FROM events",))


def of(parts: Parts, sql: str, **prices: str) -> tuple[FragmentPlan, ...]:
    planned: Planned = parts.planner.plan(sql, **prices)
    return planned.plan.fragments


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=databases(), secret=SECRETS)
def test_one_unit_changes_no_more_than_both_questions_claim(parts: Parts, data: Data, secret: int) -> None:
    fragments = [f for sql in STATEMENTS for f in of(parts, sql)]
    assert [f.aside for f in fragments] == [True, False] * len(STATEMENTS)
    parts.compare(data, [texts(f, secret) for f in fragments])


def test_the_values_are_those_of_the_question_that_groups_by_them(parts: Parts) -> None:
    beside, main = of(
        parts,
        "SELECT region, sum(qty), mode() WITHIN GROUP (ORDER BY kind) FILTER (WHERE qty > 2) FROM events "
        "WHERE weight > 0.3 GROUP BY region",
    )
    (plain,) = of(
        parts,
        "SELECT region, CASE WHEN qty > 2 THEN kind END, count(*) FROM events WHERE weight > 0.3 "
        "AND CASE WHEN qty > 2 THEN kind END IS NOT NULL GROUP BY 1, 2",
        epsilon="0.5",
    )
    assert beside.delta > 0 == main.delta and beside.epsilon == main.epsilon == Fraction(1, 2)
    written = plain.sql.replace(" ELSE (NULL::pg_catalog.text)::pg_catalog.text", "")  # by PostgreSQL's deparse
    assert beside.sql == written
    assert (beside.measurements, beside.clips, beside.groups) == (plain.measurements, plain.clips, plain.groups)


def test_one_question_answers_both_orders(parts: Parts) -> None:
    one = "mode() WITHIN GROUP (ORDER BY kind), mode() WITHIN GROUP (ORDER BY kind DESC)"
    assert [f.aside for f in of(parts, f"SELECT {one} FROM events")] == [True, False]
    assert [f.aside for f in of(parts, f"SELECT {one}, mode() WITHIN GROUP (ORDER BY qty) FROM events")] == [
        True,
        True,
        False,
    ]


def test_there_are_not_too_many_questions(parts: Parts) -> None:
    modes = [f"mode() WITHIN GROUP (ORDER BY qty + {n})" for n in range(32)]
    assert len(of(parts, f"SELECT {', '.join(modes[:31])} FROM events")) == 32
    with pytest.raises(Unsupported, match="at most 32 private questions"):
        of(parts, f"SELECT {', '.join(modes)} FROM events")


def test_where_nothing_else_is_asked_the_values_get_nearly_all_of_the_price(parts: Parts) -> None:
    beside, main = of(parts, "SELECT mode() WITHIN GROUP (ORDER BY kind) FROM events")
    assert beside.epsilon == 10 * main.epsilon and beside.epsilon + main.epsilon == 1


def test_the_largest_count_wins_and_all_of_equal_ones_are_kept() -> None:
    key = GroupKey("k0", "", "text")
    plan = FragmentPlan("x", 0, (), (key, key), ("m0", "m1"), (), DeclaredGroups(()), aside=True)
    rows = (
        (("a", "x"), (5, 1)),
        (("a", "y"), (9, 2)),
        (("a", 'z"\\'), (1, 2)),
        (("b", "x"), (3, -1)),
        ((None, "u"), (0, 1)),
    )
    shown = Release("", tuple((key, ()) for key in (("a",), ("b",), ("c",), (None,))))

    def column(name: str, other: bool = False) -> tuple[str | None, ...]:
        table = NoisyTable((), (), (Largest(0, name),), other=other)
        (found,) = computed(plan, table, shown, [(plan, Release("", rows))])
        return found

    assert column("m1") == ('{"y","z\\"\\\\"}', None, None, '{"u"}')
    assert column("m1", other=True) == (*column("m1")[:3], None)  # the last row is of the groups that are not shown
    assert column("m0") == ('{"y"}', '{"x"}', None, None)
