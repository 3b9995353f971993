-- A table of every supported type, with NULLs, quoted names, a domain type and an enum; another in a second schema.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN label AS varchar(20);

CREATE TABLE things (
    id int PRIMARY KEY, user_id bigint,
    small smallint, whole int NOT NULL, big bigint, price numeric(10,2), free numeric, ratio real, mass double precision,
    note text, code varchar(8), fixed char(4), flag boolean, born date, seen timestamp, moment timestamptz(3),
    clock time, span interval, token uuid, feeling mood, share percent, tag label);
INSERT INTO things
SELECT i, CASE WHEN i % 50 <> 0 THEN 1 + i % 90 END,
       CASE WHEN i % 9 <> 0 THEN i % 7 - 3 END, i % 23, CASE WHEN i % 8 <> 0 THEN 3000000000 + i % 5 END,
       CASE WHEN i % 6 <> 0 THEN (i * 37 % 120) / 10.0 END, CASE WHEN i % 10 <> 0 THEN (i % 16) / 4.0 END,
       CASE WHEN i % 7 <> 0 THEN (i % 8) / 4.0 END, CASE WHEN i % 11 <> 0 THEN (i % 64) / 8.0 - 4 END,
       (ARRAY['alpha', 'Beta', 'gamma delta', 'Größe', 'it''s', 'a\b', NULL])[1 + i % 7],
       (ARRAY['x1', 'x2', 'y1', NULL])[1 + i % 4], (ARRAY['ab', 'abcd', 'c', NULL])[1 + i % 4],
       CASE WHEN i % 5 <> 0 THEN i % 2 = 0 END, date '2024-02-27' + i % 6, timestamp '2024-03-30 22:15:00' + i % 40 * interval '1 hour',
       timestamptz '2024-10-26 20:30:00.125+00' + i % 40 * interval '1 hour', time '06:00' + i % 16 * interval '45 minutes',
       i % 3 * interval '1 day', ('00000000-0000-0000-0000-00000000000' || i % 4)::uuid,
       (ARRAY['sad', 'ok', 'happy', NULL]::mood[])[1 + i % 4], i % 101, 'tag ' || i % 3
FROM generate_series(1, 400) AS i;

CREATE TABLE "Weird Table" ("User Id" bigint NOT NULL, "Odd Column" text, "select" int, "a""b" int, "Größe" numeric(6,1));
INSERT INTO "Weird Table"
SELECT 1 + i % 60, (ARRAY['Mixed Case', 'lower', 'UPPER', NULL])[1 + i % 4], i % 4, i % 10, i / 10.0
FROM generate_series(1, 200) AS i;

CREATE SCHEMA sales;
CREATE TABLE sales.orders (order_id int PRIMARY KEY, user_id bigint NOT NULL, country text, total numeric(8,2), placed date);
INSERT INTO sales.orders
SELECT i, 1 + i % 77, (ARRAY['US', 'DE', 'FR', NULL])[1 + i % 4], i % 500 / 4.0, date '2024-01-01' + i % 90
FROM generate_series(1, 300) AS i;
CREATE TABLE sales.regions (code text PRIMARY KEY, region text NOT NULL, lead text);
INSERT INTO sales.regions VALUES ('US', 'Americas', 'Ann'), ('DE', 'Europe', NULL), ('FR', 'Europe', 'Zoe'), ('JP', 'Asia', 'Ken');
CREATE TABLE sales.weeks (country text, week int, PRIMARY KEY (country, week));
INSERT INTO sales.weeks SELECT c, w FROM unnest(ARRAY['US', 'DE']) AS c, generate_series(1, 2) AS w;
