"""A database of people with every kind of object that a clean room mirrors."""

from __future__ import annotations

from noisegate.policy.model import Budget, Budgets, Column, Policy, Table, Unit

PEOPLE_SQL = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN small AS positive;
CREATE SCHEMA "Web log";
CREATE TABLE countries (code char(2) PRIMARY KEY, name text NOT NULL UNIQUE, moods mood[], area numeric(10,2));
INSERT INTO countries VALUES ('FR', 'France', '{ok,glad}', 1.5), ('DE', E'Ger\\tmany \\\\ é', NULL, NULL);
CREATE TABLE users (
  id int PRIMARY KEY, country char(2) REFERENCES countries, plan text NOT NULL, mood mood, size small,
  score numeric, ratio float8, nick text COLLATE "C", born date, seen timestamptz, flags bit(3) NOT NULL,
  rate numeric(2,2) NOT NULL, secret text);
INSERT INTO users SELECT g, 'FR', 'free', 'ok', 1, g, g, 'n' || g, '2000-02-03', now(), B'101', 0.5, 'hush'
FROM generate_series(1, 1000) g;
CREATE TABLE "Web log"."Ev""ents" (
  id bigint PRIMARY KEY, user_id int NOT NULL REFERENCES users, at timestamptz NOT NULL, page varchar(20),
  UNIQUE (user_id, at));
CREATE INDEX ON "Web log"."Ev""ents" (page);
CREATE TABLE visits (id int, user_id int NOT NULL, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE visits_2020 PARTITION OF visits FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE parents (id int PRIMARY KEY, user_id int);
CREATE TABLE children () INHERITS (parents);
CREATE TABLE unlisted (id int PRIMARY KEY, user_id int);
COMMENT ON TABLE users IS 'one row per person';
COMMENT ON COLUMN users.plan IS 'what they''ve paid for';
"""

EVENTS = ("Web log", 'Ev"ents')


def people_policy(dsn: str, **changes: object) -> Policy:
    """The policy of PEOPLE_SQL; `changes` are fields of Policy."""
    shown = ["country", "plan", "mood", "size", "score", "ratio", "nick", "born", "seen", "flags", "rate"]
    users = {name: Column() for name in shown}
    users |= {
        "secret": Column(hidden=True),
        "country": Column(domain="countries.code"),
        "mood": Column(domain=("glad", "sad")),
        "score": Column(domain=("1.0", "1", "2.50")),
        "ratio": Column(domain=("-0", "0", "1e3")),
    }
    tables = {
        "users": Table(unit="id", columns=users),
        "countries": Table(public=True, columns={c: Column() for c in ("code", "name", "moods", "area")}),
        'Web log.Ev"ents': Table(unit="user_id", columns={"at": Column(), "page": Column()}),
        "visits": Table(unit="user_id", columns={"id": Column(), "day": Column()}),
        "parents": Table(unit="user_id", columns={"id": Column()}),
    }
    budgets = Budgets(dataset=Budget(epsilon=1), analyst=Budget(epsilon=1))
    policy = Policy(database="people", dsn=dsn, unit=Unit(table="users", key="id"), tables=tables, budgets=budgets)
    return policy.model_copy(update=changes)
