"""What a demo asks: six questions per data set, and one about rows, which is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Question:
    """`keys`: how many of the first columns name a row. `look`: what there is to see in the answer."""

    title: str
    sql: str
    keys: int
    look: str


@dataclass(frozen=True, slots=True)
class Tour:
    """One data set's questions."""

    questions: tuple[Question, ...]
    refused: str
    try_next: str  # a question to start with by hand


PRODUCT: Final = Tour(
    questions=(
        Question("How many people signed up?", "SELECT count(*) FROM users", 0, "One person changes this by one."),
        Question(
            "Which plans do they have, and how old are they?",
            "SELECT plan, count(*) AS people, round(avg(age), 1) AS age\nFROM users GROUP BY plan ORDER BY people DESC",
            1,
            "The policy declares the plans, so each is shown, however few people have it.",
        ),
        Question(
            "How much do they buy?",
            "SELECT count(DISTINCT user_id) AS buyers, round(sum(amount)) AS dollars, round(avg(amount), 2) AS mean\n"
            "FROM events WHERE kind = 'purchase'",
            0,
            "A person counts with 1,000 dollars at most, as the policy says. What few people spend beyond that is cut, "
            "so that the noise, which must hide any one person, stays small.",
        ),
        Question(
            "How many buy each month?",
            "SELECT date_trunc('month', occurred_at)::date AS month, count(DISTINCT user_id) AS buyers\n"
            "FROM events WHERE kind = 'purchase' GROUP BY 1 ORDER BY 1",
            1,
            "The policy bounds the days, so the months are known beforehand: no delta. Who buys in more than five of "
            "them counts in five: that is the small bias.",
        ),
        Question(
            "How long is a visit, and what share has each device?",
            "WITH visits AS (\n"
            "  SELECT device, count(*) AS n, avg(duration_s) AS seconds FROM sessions GROUP BY device)\n"
            "SELECT device, round(100.0 * n / sum(n) OVER (), 1) AS percent, round(seconds) AS seconds\n"
            "FROM visits ORDER BY percent DESC",
            1,
            "Everything over the aggregates (WITH, windows, arithmetic) is PostgreSQL's own, and free.",
        ),
        Question(
            "How many are 65 and older?",
            "SELECT age, count(*) AS people FROM users WHERE age >= 65 GROUP BY age ORDER BY age",
            1,
            "Ages are read from the data, at a price in delta: a group with fewer than 20 people never appears.",
        ),
    ),
    refused="SELECT plan, country, age FROM users WHERE id = 42",
    try_next="SELECT country, count(*) FROM users GROUP BY country ORDER BY 2 DESC LIMIT 5;",
)

FLIGHTS: Final = Tour(
    questions=(
        Question(
            "How many aircraft fly from New York?",
            "SELECT count(DISTINCT tailnum) FROM flights",
            0,
            "The unit that is protected here is the aircraft: one of them changes this by one.",
        ),
        Question(
            "How many leave from each airport?",
            "SELECT origin, count(DISTINCT tailnum) AS aircraft, count(*) AS flights\n"
            "FROM flights GROUP BY origin ORDER BY origin",
            1,
            "An aircraft counts with 300 flights per airport at most, so the busiest lower the last column: a bias "
            "that the policy takes for less noise.",
        ),
        Question(
            "How late are they, and how long in the air?",
            "SELECT round(avg(dep_delay), 1) AS delay, round(avg(air_time)) AS air_time FROM flights",
            0,
            "Delays beyond two hours count as two hours, as the policy says; in the true average they do not.",
        ),
        Question(
            "Which airlines have the most aircraft?",
            "SELECT a.name AS airline, count(DISTINCT f.tailnum) AS aircraft\n"
            "FROM flights f JOIN airlines a ON a.carrier = f.carrier\n"
            "GROUP BY a.name ORDER BY aircraft DESC",
            1,
            "airlines is public and joins freely. All of its names are groups, at no delta, with noise.",
        ),
        Question(
            "What share of flights leaves when?",
            "WITH h AS (\n"
            "  SELECT CASE WHEN hour < 12 THEN 'morning' WHEN hour < 18 THEN 'afternoon' ELSE 'evening' END AS part,\n"
            "         count(*) AS n\n"
            "  FROM flights GROUP BY 1)\n"
            "SELECT part, n, round(100.0 * n / sum(n) OVER (), 1) AS percent FROM h ORDER BY percent DESC",
            1,
            "Everything over the aggregates (WITH, windows, arithmetic) is PostgreSQL's own, and free.",
        ),
        Question(
            "How large are the aircraft of each maker?",
            "SELECT manufacturer, count(*) AS aircraft, round(avg(seats)) AS seats\n"
            "FROM planes WHERE seats BETWEEN 20 AND 450\n"
            "GROUP BY manufacturer ORDER BY aircraft DESC",
            1,
            "Makers of fewer than ten aircraft never appear; those of a few more seldom do.",
        ),
    ),
    refused="SELECT tailnum, dest FROM flights WHERE carrier = 'UA' LIMIT 10",
    try_next="SELECT dest, count(*) FROM flights GROUP BY dest ORDER BY 2 DESC LIMIT 5;",
)
