=== quoted names
SELECT "users"."plan" AS "plan", COUNT(*) AS "count" FROM "public"."users" GROUP BY "users"."plan" ORDER BY "users"."plan" ASC
=== weird names
SELECT "Odd Column", count(*) FROM "Weird Table" GROUP BY "Odd Column"
=== a keyword as a name
SELECT "select", sum("select"), sum("a""b") FROM "Weird Table" GROUP BY "select" ORDER BY "select"
=== names beyond ASCII
SELECT sum("Größe"), avg("Größe") FROM "Weird Table"
=== weird names qualified
SELECT "w"."Odd Column" AS "An Alias", SUM("w"."a""b") AS "sum of ""a""" FROM public."Weird Table" "w" WHERE "w"."Odd Column" IS NOT NULL GROUP BY 1
=== the unit with a weird name
SELECT count(DISTINCT "User Id") FROM "Weird Table"
=== as Metabase writes
SELECT CAST(DATE_TRUNC('month', "public"."events"."occurred_at") AS date) AS "occurred_at", COUNT(*) AS "count", SUM("public"."events"."amount") AS "sum"
FROM "public"."events" WHERE "public"."events"."kind" = 'purchase' GROUP BY CAST(DATE_TRUNC('month', "public"."events"."occurred_at") AS date)
ORDER BY CAST(DATE_TRUNC('month', "public"."events"."occurred_at") AS date) ASC
=== as Metabase buckets
SELECT FLOOR(("public"."users"."age" / 10.0)) * 10.0 AS "age", COUNT(*) AS "count" FROM "public"."users" GROUP BY FLOOR(("public"."users"."age" / 10.0)) * 10.0 HAVING COUNT(*) > 1 ORDER BY 1
=== as Superset writes
SELECT DATE_TRUNC('day', occurred_at) AS __timestamp, kind AS kind, COUNT(*) AS count FROM public.events
WHERE occurred_at >= TO_TIMESTAMP('2024-03-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') AND occurred_at < TO_TIMESTAMP('2024-05-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')
GROUP BY DATE_TRUNC('day', occurred_at), kind HAVING COUNT(DISTINCT user_id) > 1 ORDER BY count DESC, 1, 2 LIMIT 1000
=== as Tableau writes
SELECT "users"."country" AS "country", SUM(1) AS "sum:Number of Records:ok" FROM "public"."users" "users" GROUP BY 1
=== as Tableau filters
SELECT CAST("users"."plan" AS TEXT) AS "plan", COUNT(1) AS "cnt" FROM "public"."users" "users" WHERE ((CAST("users"."plan" AS TEXT) >= 'f') AND (CAST("users"."plan" AS TEXT) <= 'p')) GROUP BY 1
=== as Power BI writes
select "_"."plan", count(1) as "a0" from ( select "plan", count(*) as "n" from "public"."users" group by "plan" ) "_" group by "_"."plan" limit 1000001
=== as Grafana writes
SELECT floor(extract(epoch from occurred_at)/86400)*86400 AS "time", count(*) AS "value" FROM events
WHERE occurred_at BETWEEN '2024-01-01T00:00:00Z' AND '2024-12-31T23:59:59Z' GROUP BY 1 HAVING count(DISTINCT user_id) > 1 ORDER BY 1
=== as SQLAlchemy writes | $1 unknown = free | $2 int4 = 5
SELECT users.country AS users_country, count(users.id) AS count_1 FROM users WHERE users.plan = $1 GROUP BY users.country HAVING count(users.id) > $2
=== as Django writes
SELECT "users"."plan", COUNT("users"."id") AS "n", AVG("users"."age") AS "age__avg" FROM "users" WHERE ("users"."age" >= 18 AND NOT ("users"."country" = 'US' AND "users"."country" IS NOT NULL)) GROUP BY "users"."plan" ORDER BY "n" DESC, 1
=== as ActiveRecord writes
SELECT COUNT(*) AS "count_all", "users"."plan" AS "users_plan" FROM "users" WHERE "users"."age" BETWEEN 20 AND 40 GROUP BY "users"."plan"
=== as a spreadsheet connector writes
SELECT COUNT(*) FROM (SELECT "plan", COUNT(*) FROM "users" GROUP BY "plan") AS "custom_query"
=== a unicode alias
SELECT plan AS "Größe der Gruppe", count(*) AS "数" FROM users GROUP BY plan
=== a long alias
SELECT count(*) AS a_name_that_is_as_long_as_postgresql_lets_any_name_be_sixtythree FROM users
=== no alias at all
SELECT count(*), sum(age), avg(age), count(*) + 1, 'x', coalesce(sum(age), 0), round(avg(age), 1), CASE WHEN count(*) > 1 THEN 1 END, sum(age)::text FROM users
=== an alias like another column
SELECT plan AS country, count(*) AS plan FROM users GROUP BY users.plan
=== an alias without as
SELECT plan p, count(*) n FROM users u GROUP BY u.plan
