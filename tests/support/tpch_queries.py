"""The 22 queries of TPC-H (version 3, clause 2.4) with their validation parameters, and what a gate owes to each.

The privacy unit is the customer. Three outcomes: PUBLIC names no private table and is relayed; ANSWERED equals
PostgreSQL's answer; PRIVATE is refused, or answered without a row, because each row would be about one customer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final


class Outcome(Enum):
    PUBLIC = "public"
    ANSWERED = "answered"
    PRIVATE = "private"


@dataclass(frozen=True)
class Query:
    """`why`: the reason of the outcome. `truth`: what equals the answer where an exception of docs/exceptions.md keeps
    the query's own text from it; else the text. `coarse`: sums on a grid coarser than their decimals, so that numbers
    agree to a relative 1e-6 instead of to the last digit."""

    number: int
    sql: str
    outcome: Outcome
    why: str
    truth: str
    coarse: bool


_HEADING: Final = re.compile(r"^=== (\d+)\n", re.MULTILINE)
_OUTCOMES: Final = {
    1: (Outcome.ANSWERED, "lines reach their customer through the order; all group keys are declared"),
    2: (Outcome.PUBLIC, "parts and suppliers only"),
    3: (Outcome.PRIVATE, "an order is a group of its own, and it is one customer's"),
    4: (Outcome.ANSWERED, "EXISTS over the order's own lines stays within the customer"),
    5: (Outcome.ANSWERED, "joins along foreign keys; nations are public"),
    6: (Outcome.ANSWERED, "one ungrouped sum"),
    7: (Outcome.ANSWERED, "a subquery in FROM that keeps rows as they are"),
    8: (Outcome.ANSWERED, "a ratio of two sums of one fragment"),
    9: (Outcome.ANSWERED, "a sum of a difference of private and public prices"),
    10: (Outcome.PRIVATE, "every group is one customer"),
    11: (Outcome.PUBLIC, "stock of suppliers only"),
    12: (Outcome.ANSWERED, "two conditional sums over a join along a foreign key"),
    13: (Outcome.ANSWERED, "a histogram over a count of each customer's orders"),
    14: (Outcome.ANSWERED, "a ratio of two sums of one fragment"),
    15: (Outcome.ANSWERED, "revenue is released once per supplier and used twice"),
    16: (Outcome.PUBLIC, "parts and suppliers only"),
    17: (Outcome.PRIVATE, "a row is compared with an average over other customers' rows, one for each part"),
    18: (Outcome.PRIVATE, "an order is a group of its own, and it is one customer's"),
    19: (Outcome.ANSWERED, "a disjunction, each side with the join's equality"),
    20: (Outcome.PRIVATE, "public rows are chosen by a sum over few customers, one for each part and supplier"),
    21: (Outcome.ANSWERED, "EXISTS and NOT EXISTS over lines of the same order stay within the customer"),
    22: (Outcome.ANSWERED, "compared with a released average; NOT EXISTS over the customer's own orders"),
}
# Sums of products have four or six decimals; at 1e9 units the grid of 64-bit sums has room for two.
_COARSE: Final = frozenset({1, 5, 6, 7, 8, 9, 14, 15, 19})
# Group keys read from data: a group of one customer stays hidden.
_SEEN: Final = {13: ("group by c_count\n", "group by c_count having count(*) > 1\n")}


def queries() -> tuple[Query, ...]:
    parts = _HEADING.split(Path(__file__).with_suffix(".sql").read_text())
    texts = {int(number): sql.strip() for number, sql in zip(parts[1::2], parts[2::2], strict=True)}
    assert sorted(texts) == list(range(1, 23)) == sorted(_OUTCOMES)
    return tuple(
        Query(number, sql, *_OUTCOMES[number], sql.replace(*_SEEN.get(number, ("", ""))), number in _COARSE)
        for number, sql in texts.items()
    )
