"""Where the query of an EXPLAIN begins: behind options in parentheses, or in parentheses itself."""

from __future__ import annotations

import pytest

from noisegate.query.statements import Verdict, Wrapper, judge, sketch


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("EXPLAIN SELECT 1 FROM users", "SELECT 1 FROM users"),
        ("EXPLAIN (VERBOSE, COSTS off) SELECT 1 FROM users", "SELECT 1 FROM users"),
        ("EXPLAIN (COSTS off) (SELECT 1 FROM users)", "(SELECT 1 FROM users)"),
        ("EXPLAIN (SELECT 1 FROM users) UNION ALL (SELECT 2)", "(SELECT 1 FROM users) UNION ALL (SELECT 2)"),
        ("EXPLAIN ((SELECT 1 FROM users))", "((SELECT 1 FROM users))"),
        ("EXPLAIN VERBOSE (WITH a AS (SELECT 1) SELECT 2 FROM users)", "(WITH a AS (SELECT 1) SELECT 2 FROM users)"),
    ],
)
def test_the_query_is_found(text: str, query: str) -> None:
    judgement = judge(sketch(text)[0], frozenset({"users"}))
    assert (judgement.verdict, judgement.wrapper, judgement.query) == (Verdict.PRIVATE, Wrapper.EXPLAIN, query)


@pytest.mark.parametrize("text", ["EXPLAIN (DELETE FROM users)", "EXPLAIN (ANALYZE) SELECT 1 FROM users"])
def test_others_are_refused(text: str) -> None:
    assert judge(sketch(text)[0], frozenset({"users"})).verdict is Verdict.REFUSE
