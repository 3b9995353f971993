=== Metabase: a saved question as a source
SELECT "source"."plan" AS "plan", COUNT(*) AS "count" FROM (SELECT "public"."users"."id" AS "id", "public"."users"."plan" AS "plan", "public"."users"."age" AS "age" FROM "public"."users" WHERE "public"."users"."age" > 20) AS "source" GROUP BY "source"."plan" ORDER BY "source"."plan" ASC
=== Metabase: a star over a source
SELECT "source"."country" AS "country", COUNT(*) AS "count" FROM (SELECT * FROM "public"."users" WHERE "public"."users"."is_admin" = FALSE) AS "source" GROUP BY "source"."country" HAVING COUNT(*) > 1 ORDER BY "count" DESC, "source"."country" ASC LIMIT 2000
=== Metabase: a join with its alias
SELECT "Users"."plan" AS "Users__plan", SUM("public"."sessions"."duration_s") AS "sum", COUNT(DISTINCT "public"."sessions"."user_id") AS "count" FROM "public"."sessions" LEFT JOIN "public"."users" AS "Users" ON "public"."sessions"."user_id" = "Users"."id" GROUP BY "Users"."plan" ORDER BY "Users"."plan" ASC
=== Metabase: binned, week of year
SELECT CAST(DATE_TRUNC('week', CAST("public"."sessions"."started_at" AS timestamp)) AS date) AS "started_at", COUNT(*) AS "count" FROM "public"."sessions" WHERE "public"."sessions"."started_at" >= timestamp with time zone '2024-03-01 00:00:00.000Z' AND "public"."sessions"."started_at" < timestamp with time zone '2024-06-01 00:00:00.000Z' GROUP BY CAST(DATE_TRUNC('week', CAST("public"."sessions"."started_at" AS timestamp)) AS date) HAVING COUNT(DISTINCT "public"."sessions"."user_id") > 1 ORDER BY 1 ASC
=== Metabase: custom column and expression
SELECT "source"."bucket" AS "bucket", COUNT(*) AS "count", AVG("source"."age") AS "avg" FROM (SELECT "public"."users"."age" AS "age", CASE WHEN "public"."users"."age" < 25 THEN 'young' WHEN "public"."users"."age" < 50 THEN 'middle' ELSE 'older' END AS "bucket" FROM "public"."users") AS "source" GROUP BY "source"."bucket" ORDER BY "source"."bucket" ASC
=== Metabase: count where and share
SELECT "public"."events"."kind" AS "kind", CAST(SUM(CASE WHEN "public"."events"."amount" > 20 THEN 1 ELSE 0.0 END) AS DOUBLE PRECISION) / NULLIF(CAST(COUNT(*) AS DOUBLE PRECISION), 0.0) AS "share" FROM "public"."events" GROUP BY "public"."events"."kind" ORDER BY "public"."events"."kind" ASC
=== Metabase: nested aggregation
SELECT AVG("source"."count") AS "avg", MAX("source"."count") AS "max" FROM (SELECT "public"."users"."plan" AS "plan", COUNT(*) AS "count" FROM "public"."users" GROUP BY "public"."users"."plan" ORDER BY "public"."users"."plan" ASC) AS "source"
=== Metabase: average of counts per person
SELECT AVG("source"."count") AS "avg" FROM (SELECT "public"."events"."user_id" AS "user_id", COUNT(*) AS "count" FROM "public"."events" GROUP BY "public"."events"."user_id" ORDER BY "public"."events"."user_id" ASC) AS "source"
=== Metabase: filtered after summing
SELECT * FROM (SELECT "public"."users"."country" AS "country", COUNT(*) AS "count" FROM "public"."users" GROUP BY "public"."users"."country" ORDER BY "public"."users"."country" ASC) AS "source" WHERE "source"."count" > 10 ORDER BY "source"."count" DESC, 1 LIMIT 10
=== Metabase: cumulative count
SELECT "source"."started_at" AS "started_at", SUM(COUNT(*)) OVER (ORDER BY "source"."started_at" ASC ROWS UNBOUNDED PRECEDING) AS "cum" FROM (SELECT CAST(DATE_TRUNC('month', "public"."sessions"."started_at") AS date) AS "started_at" FROM "public"."sessions") AS "source" GROUP BY "source"."started_at" ORDER BY "source"."started_at" ASC
=== Metabase: median and percentile
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY "public"."users"."age") AS "median", PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY "public"."users"."age") AS "p90" FROM "public"."users"
=== Metabase: field filter by list
SELECT COUNT(*) AS "count" FROM "public"."users" WHERE ("public"."users"."plan" = 'free' OR "public"."users"."plan" = 'pro') AND (LOWER("public"."users"."country") LIKE '%u%' OR "public"."users"."country" IS NULL)
=== Metabase: day of week and hour
SELECT (CAST(EXTRACT(dow FROM "public"."sessions"."started_at") AS integer) + 1) AS "dow", CAST(EXTRACT(hour FROM "public"."sessions"."started_at") AS integer) AS "hour", COUNT(*) AS "count" FROM "public"."sessions" GROUP BY 1, 2 HAVING COUNT(DISTINCT "public"."sessions"."user_id") > 1 ORDER BY 1 ASC, 2 ASC
=== Metabase: relative dates
SELECT COUNT(*) AS "count" FROM "public"."sessions" WHERE "public"."sessions"."started_at" >= DATE_TRUNC('month', (TIMESTAMP '2024-09-15 10:00:00' + (INTERVAL '-3 month'))) AND "public"."sessions"."started_at" < DATE_TRUNC('month', TIMESTAMP '2024-09-15 10:00:00')
=== Superset: a chart with its row limit
SELECT plan AS plan, country AS country, COUNT(*) AS "COUNT(*)", AVG(age) AS "AVG(age)" FROM public.users GROUP BY plan, country HAVING ((COUNT(1) > 1)) ORDER BY "COUNT(*)" DESC, 1, 2 LIMIT 10000
=== Superset: a virtual data set
SELECT kind AS kind, sum(amount) AS "SUM(amount)", count(*) AS n FROM (SELECT e.kind, e.amount, u.plan, e.user_id FROM events e JOIN users u ON u.id = e.user_id WHERE e.occurred_at > '2024-02-01') AS virtual_table WHERE plan IN ('free', 'pro') AND amount IS NOT NULL GROUP BY kind ORDER BY "SUM(amount)" DESC, kind LIMIT 50000
=== Superset: a series limit joined back
SELECT DATE_TRUNC('month', occurred_at) AS __timestamp, events.kind AS kind, COUNT(*) AS count FROM public.events JOIN (SELECT kind AS kind__, COUNT(*) AS mme_inner__ FROM public.events GROUP BY kind ORDER BY mme_inner__ DESC LIMIT 3) AS series_limit ON kind = kind__ GROUP BY DATE_TRUNC('month', occurred_at), events.kind HAVING COUNT(DISTINCT user_id) > 1 ORDER BY count DESC, 1, 2 LIMIT 1000
=== Superset: a pivot with an adhoc metric
SELECT device AS device, COUNT(DISTINCT CASE WHEN duration_s > 300 THEN user_id END) AS long_users, COUNT(DISTINCT user_id) AS users FROM public.sessions GROUP BY device ORDER BY long_users DESC, device LIMIT 100
=== Superset: a big number with its trend
SELECT DATE_TRUNC('month', signup_date) AS __timestamp, COUNT(*) AS count FROM public.users GROUP BY DATE_TRUNC('month', signup_date) HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 50000
=== Superset: distinct values for a filter
SELECT country AS country FROM public.users GROUP BY country HAVING count(*) > 1 ORDER BY country ASC LIMIT 1000
=== Superset: filter by expression
SELECT COUNT(*) AS count FROM public.users WHERE age >= 18 AND ((plan = 'pro' OR lower(country) = 'us')) LIMIT 50000
=== Tableau: sums with a rollup of its own
SELECT "users"."plan" AS "plan", SUM(CAST("users"."age" AS BIGINT)) AS "sum:age:ok", SUM(1) AS "sum:n:ok" FROM "public"."users" "users" GROUP BY 1
=== Tableau: a level of detail, fixed by a public key
SELECT "t0"."country" AS "country", "t0"."n" AS "n", "t1"."m" AS "m" FROM (SELECT "country", COUNT(1) AS "n" FROM "users" GROUP BY 1) "t0" INNER JOIN (SELECT "country", AVG("age") AS "m" FROM "users" GROUP BY 1) "t1" ON "t0"."country" IS NOT DISTINCT FROM "t1"."country" WHERE "t0"."n" > 1
=== Tableau: a level of detail, fixed by person
SELECT "t1"."n" AS "orders", COUNT(DISTINCT "users"."id") AS "ctd:id:ok" FROM "public"."users" "users" INNER JOIN (SELECT "user_id" AS "user_id", COUNT(1) AS "n" FROM "public"."sessions" GROUP BY 1) "t1" ON ("users"."id" = "t1"."user_id") GROUP BY 1 HAVING (COUNT(1) > 1)
=== Tableau: top N joined back
SELECT "users"."country" AS "country", "users"."plan" AS "plan", COUNT(1) AS "n" FROM "public"."users" "users" INNER JOIN (SELECT "country" AS "country", COUNT(1) AS "$__alias__0" FROM "public"."users" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3) "t0" ON ("users"."country" = "t0"."country") GROUP BY 1, 2 HAVING (COUNT(1) > 1)
=== Tableau: date parts
SELECT CAST(TRUNC(EXTRACT(YEAR FROM "sessions"."started_at")) AS INTEGER) AS "yr", CAST(TRUNC(EXTRACT(QUARTER FROM "sessions"."started_at")) AS INTEGER) AS "qr", COUNT(1) AS "n" FROM "public"."sessions" "sessions" GROUP BY 1, 2 HAVING (COUNT(1) > 0)
=== Tableau: truncated months and a domain query
SELECT DATE_TRUNC('MONTH', CAST("sessions"."started_at" AS DATE)) AS "tmn", SUM("sessions"."duration_s") AS "s" FROM "public"."sessions" "sessions" WHERE ((CAST("sessions"."started_at" AS DATE) >= (DATE '2024-02-01')) AND (CAST("sessions"."started_at" AS DATE) <= (DATE '2024-12-31'))) GROUP BY 1 HAVING COUNT(DISTINCT user_id) > 1
=== Tableau: filter by an aggregate over all
SELECT "country", "n" FROM (SELECT "country" AS "country", COUNT(1) AS "n", SUM(COUNT(1)) OVER () AS "all" FROM "public"."users" GROUP BY 1 HAVING (COUNT(1) > 1)) "q" WHERE "n" * 20 > "all"
=== Tableau: no rows to show
SELECT SUM(1) AS "n" FROM "public"."users" "users" HAVING (COUNT(1) > 0)
=== Tableau: a set of people in or out
SELECT (CASE WHEN "t0"."user_id" IS NULL THEN 0 ELSE 1 END) AS "in", COUNT(1) AS "n" FROM "public"."users" "users" LEFT JOIN (SELECT "user_id" FROM "public"."events" WHERE "kind" = 'purchase' GROUP BY 1) "t0" ON "users"."id" = "t0"."user_id" GROUP BY 1
=== Tableau: string functions
SELECT LEFT("users"."country", 1) AS "c", COUNT(1) AS "n" FROM "public"."users" "users" WHERE (NOT (LEFT("users"."country", 1) IS NULL)) GROUP BY 1 HAVING (COUNT(1) > 1)
=== Power BI: direct query, sums over a fold
select "rows"."plan" as "plan", "rows"."country" as "country", sum("rows"."age") as "a0", count(*) as "a1" from ( select "_"."plan", "_"."country", "_"."age" from "public"."users" "_" where not "_"."age" is null ) "rows" group by "plan", "country" having count(*) > 1
=== Power BI: joined dimension
select "t0"."region", count(*) as "a0" from ( select "$Outer"."id", "$Inner"."region" from "public"."users" as "$Outer" left outer join "public"."countries" as "$Inner" on ("$Outer"."country" = "$Inner"."code") ) as "t0" group by "t0"."region" order by "t0"."region"
=== Power BI: distinct count with its blank row
select count(distinct("rows"."country")) + max(case when "rows"."country" is null then 1 else 0 end) as "a0" from "public"."users" as "rows"
=== Power BI: top of a sorted fold
select "_"."plan", "_"."a0" from (select "_"."plan", "_"."a0" from (select "rows"."plan" as "plan", sum("rows"."age") as "a0" from "public"."users" as "rows" group by "plan") as "_" where not "_"."a0" is null) as "_" order by "_"."a0" desc, "_"."plan" limit 3
=== Looker: an explore with its alias names
SELECT users.plan AS "users.plan", COUNT(DISTINCT users.id) AS "users.count", COALESCE(SUM(events.amount), 0) AS "events.total" FROM public.events AS events LEFT JOIN public.users AS users ON events.user_id = users.id GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 500
=== Looker: dates by convert
SELECT (TO_CHAR(DATE_TRUNC('month', sessions.started_at ), 'YYYY-MM')) AS "sessions.month", COUNT(*) AS "sessions.count" FROM public.sessions AS sessions GROUP BY (DATE_TRUNC('month', sessions.started_at )) HAVING COUNT(DISTINCT user_id) > 1 ORDER BY 1 DESC LIMIT 500
=== Looker: dates as text
SELECT DATE(sessions.started_at) AS "sessions.date", COUNT(*) AS "n" FROM public.sessions AS sessions WHERE ((( sessions.started_at ) >= ((TIMESTAMP '2024-03-01')) AND ( sessions.started_at ) < ((TIMESTAMP '2024-04-01')))) GROUP BY 1 HAVING COUNT(DISTINCT user_id) > 1 ORDER BY 1 DESC LIMIT 500
=== Looker: a tier
SELECT CASE WHEN users.age < 20 THEN '0' WHEN users.age >= 20 AND users.age < 40 THEN '1' WHEN users.age >= 40 THEN '2' ELSE '3' END AS "sort", CASE WHEN users.age < 20 THEN 'Below 20' WHEN users.age >= 20 AND users.age < 40 THEN '20 to 39' WHEN users.age >= 40 THEN '40 or Above' ELSE 'Undefined' END AS "tier", COUNT(*) AS "n" FROM users GROUP BY 1, 2 HAVING COUNT(*) > 1 ORDER BY 1
=== Looker: yesno dimension and a filtered measure
SELECT CASE WHEN users.is_admin THEN 'Yes' ELSE 'No' END AS "admin", COUNT(CASE WHEN (users.plan = 'pro') THEN 1 ELSE NULL END) AS "pros", AVG(CASE WHEN users.plan = 'free' THEN users.age ELSE NULL END) AS "free_age" FROM public.users AS users GROUP BY 1 ORDER BY 1
=== Looker: a pivot with its ranks
SELECT * FROM (SELECT *, DENSE_RANK() OVER (ORDER BY z___min_rank) AS z___pivot_row_rank, RANK() OVER (PARTITION BY z__pivot_col ORDER BY z___min_rank) AS r FROM (SELECT *, MIN(z___rank) OVER (PARTITION BY "plan") AS z___min_rank FROM (SELECT *, RANK() OVER (ORDER BY "plan" ASC, z__pivot_col) AS z___rank FROM (SELECT users.plan AS "plan", DENSE_RANK() OVER (ORDER BY users.is_admin NULLS LAST) AS z__pivot_col, COUNT(*) AS "n" FROM users GROUP BY users.plan, users.is_admin) ww) bb) aa) xx WHERE z___pivot_row_rank <= 500 ORDER BY z___pivot_row_rank, z__pivot_col
=== Looker: a derived table per person
WITH user_facts AS (SELECT user_id, COUNT(*) AS lifetime, MIN(placed) AS first_order, SUM(total) AS spent FROM sales.orders GROUP BY 1)
SELECT CASE WHEN user_facts.lifetime >= 4 THEN 'loyal' ELSE 'new' END AS "class", COUNT(*) AS "n", AVG(LEAST(user_facts.spent, 5000)) AS "spent" FROM users LEFT JOIN user_facts ON user_facts.user_id = users.id WHERE user_facts.lifetime IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 500
=== Looker: symmetric aggregates kept plain
SELECT users.plan AS "plan", COUNT(DISTINCT sessions.user_id) AS "visitors", COUNT(*) AS "visits" FROM users LEFT JOIN sessions ON sessions.user_id = users.id GROUP BY 1 ORDER BY 3 DESC, 1
=== percent of total
SELECT plan, count(*) AS n, round(100.0 * count(*) / sum(count(*)) OVER (), 2) AS pct FROM users GROUP BY plan ORDER BY n DESC, plan
=== percent within a group
SELECT plan, is_admin, count(*) * 1.0 / sum(count(*)) OVER (PARTITION BY plan) AS share FROM users GROUP BY plan, is_admin
=== period over period by lag
SELECT month, n, lag(n) OVER (ORDER BY month) AS before, n - lag(n) OVER (ORDER BY month) AS change FROM (SELECT date_trunc('month', started_at) AS month, count(*) AS n FROM sessions GROUP BY 1 HAVING count(DISTINCT user_id) > 1) m ORDER BY month
=== period over period by a self join
WITH m AS (SELECT date_trunc('month', started_at) AS month, count(*) AS n FROM sessions GROUP BY 1 HAVING count(DISTINCT user_id) > 1)
SELECT a.month, a.n, b.n AS before, round(100.0 * (a.n - b.n) / b.n, 1) AS growth FROM m a LEFT JOIN m b ON b.month = a.month - interval '1 month' ORDER BY a.month
=== a running total by person count
SELECT month, sum(n) OVER (ORDER BY month) AS total FROM (SELECT date_trunc('month', signup_date)::date AS month, count(*) AS n FROM users GROUP BY 1) x WHERE n > 1 ORDER BY month
=== a cohort table
WITH firsts AS (SELECT user_id, date_trunc('month', min(started_at)) AS cohort FROM sessions GROUP BY user_id),
activity AS (SELECT DISTINCT user_id, date_trunc('month', started_at) AS month FROM sessions)
SELECT f.cohort::date AS cohort, extract(month FROM age(a.month, f.cohort)) AS n, count(*) AS people FROM activity a JOIN firsts f USING (user_id) GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2
=== a cohort by date arithmetic
SELECT date_trunc('quarter', u.signup_date)::date AS cohort, (s.started_at::date - u.signup_date) / 90 AS quarter, count(DISTINCT u.id) FROM users u JOIN sessions s ON s.user_id = u.id WHERE s.started_at::date >= u.signup_date GROUP BY 1, 2 HAVING count(DISTINCT u.id) > 1 ORDER BY 1, 2
=== daily active over monthly active
SELECT d.month, avg(d.dau) AS dau, max(m.mau) AS mau FROM (SELECT date_trunc('month', started_at) AS month, started_at::date AS day, count(DISTINCT user_id) AS dau FROM sessions GROUP BY 1, 2 HAVING count(DISTINCT user_id) > 1) d JOIN (SELECT date_trunc('month', started_at) AS month, count(DISTINCT user_id) AS mau FROM sessions GROUP BY 1 HAVING count(DISTINCT user_id) > 1) m ON m.month = d.month GROUP BY d.month ORDER BY d.month
=== distinct by condition
SELECT count(DISTINCT CASE WHEN kind = 'purchase' THEN user_id END) AS buyers, count(DISTINCT CASE WHEN kind = 'search' THEN user_id END) AS searchers, count(DISTINCT user_id) AS all_of_them FROM events
=== conversion
SELECT u.plan, count(DISTINCT u.id) AS users, count(DISTINCT CASE WHEN e.kind = 'purchase' THEN e.user_id END)::float / nullif(count(DISTINCT u.id), 0) AS conversion FROM users u LEFT JOIN events e ON e.user_id = u.id GROUP BY 1 ORDER BY 1
=== a pivot by filter
SELECT plan, count(*) FILTER (WHERE country = 'US') AS us, count(*) FILTER (WHERE country = 'DE') AS de, count(*) FILTER (WHERE country NOT IN ('US', 'DE') OR country IS NULL) AS other FROM users GROUP BY plan ORDER BY plan
=== totals by union
SELECT plan, count(*) AS n FROM users GROUP BY plan UNION ALL SELECT 'Total', count(*) FROM users ORDER BY 2 DESC, 1
=== other, beside the top
WITH top AS (SELECT country FROM users GROUP BY country ORDER BY count(*) DESC, country LIMIT 3)
SELECT CASE WHEN country IN (SELECT country FROM top) THEN country ELSE 'other' END AS country, count(*) FROM users GROUP BY 1 ORDER BY 2 DESC, 1
=== new and returning
SELECT CASE WHEN n = 1 THEN 'new' ELSE 'returning' END AS who, count(*) FROM (SELECT user_id, row_number() OVER (PARTITION BY user_id ORDER BY started_at, id) AS n FROM sessions) s GROUP BY 1 ORDER BY 1
=== moving average
SELECT day, avg(n) OVER (ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS week FROM (SELECT CAST(started_at AS DATE) AS day, count(*) AS n FROM sessions GROUP BY 1 HAVING count(DISTINCT user_id) > 1) d ORDER BY day
=== a calendar filled up
SELECT d.day::date AS day, coalesce(s.n, 0) AS n FROM generate_series(date '2024-03-01', date '2024-03-31', interval '1 day') AS d(day) LEFT JOIN (SELECT started_at::date AS day, count(*) AS n FROM sessions GROUP BY 1 HAVING count(DISTINCT user_id) > 1) s ON s.day = d.day ORDER BY 1
=== best plan of each country
SELECT country, plan, n FROM (SELECT country, plan, count(*) AS n, row_number() OVER (PARTITION BY country ORDER BY count(*) DESC, plan) AS place FROM users GROUP BY country, plan HAVING count(*) > 1) x WHERE place = 1 ORDER BY country
=== an index to the average
SELECT plan, avg(age) / (SELECT avg(age) FROM users) AS index FROM users GROUP BY plan ORDER BY plan
=== Grafana: a time series by group
SELECT date_trunc('week', occurred_at) AS "time", kind AS metric, count(*) AS value FROM events WHERE occurred_at BETWEEN '2024-03-01T00:00:00Z' AND '2024-06-30T00:00:00Z' GROUP BY 1, 2 HAVING count(DISTINCT user_id) > 1 ORDER BY 1, 2
=== Redash: a parameter as text
SELECT plan, count(*) FROM users WHERE signup_date BETWEEN '2023-01-01' AND '2024-12-31' AND (plan = 'All' OR 'All' = 'All') GROUP BY plan
=== Sigma: grouped twice in CTEs
WITH "Q1" AS (SELECT "plan" AS "PLAN", "country" AS "COUNTRY", count(*) AS "N" FROM "public"."users" GROUP BY 1, 2), "Q2" AS (SELECT "PLAN", sum("N") AS "S" FROM "Q1" WHERE "N" > 1 GROUP BY 1) SELECT "Q1"."PLAN", "Q1"."COUNTRY", "Q1"."N", "Q2"."S" FROM "Q1" JOIN "Q2" ON "Q1"."PLAN" = "Q2"."PLAN" WHERE "Q1"."N" > 1
=== dbt: a metric over spine months
WITH spine AS (SELECT generate_series(timestamp '2024-01-01', timestamp '2024-12-01', interval '1 month') AS month), m AS (SELECT date_trunc('month', placed) AS month, sum(total) AS revenue FROM sales.orders GROUP BY 1 HAVING count(DISTINCT user_id) > 1) SELECT spine.month, coalesce(m.revenue, 0) AS revenue FROM spine LEFT JOIN m USING (month) ORDER BY 1
=== Qlik: grouped by a formatted date
SELECT to_char(started_at, 'YYYY-MM') AS "Month", count(*) AS "Sessions" FROM sessions GROUP BY to_char(started_at, 'YYYY-MM') HAVING count(DISTINCT user_id) > 1
=== Excel: concatenated label
SELECT plan || ' / ' || coalesce(country, 'unknown') AS label, count(*) FROM users GROUP BY 1 HAVING count(*) > 1
=== a weekday name
SELECT to_char(started_at, 'FMDay') AS weekday, count(*) FROM sessions GROUP BY 1 ORDER BY 2 DESC
=== sessions that bought
SELECT s.device, count(DISTINCT s.id) AS sessions, count(DISTINCT e.session_id) AS bought FROM sessions s LEFT JOIN events e ON e.session_id = s.id AND e.user_id = s.user_id AND e.kind = 'purchase' GROUP BY s.device
=== revenue per buyer
SELECT sum(amount) / nullif(count(DISTINCT user_id), 0) AS arppu FROM events WHERE kind = 'purchase'
=== grand total under a rollup with labels
SELECT coalesce(plan, 'All') AS plan, count(*) AS n, grouping(plan) AS g FROM users GROUP BY ROLLUP (plan) ORDER BY g, plan
=== a date by its function, of a month
SELECT DATE(date_trunc('month', started_at)) AS m, COUNT(*) AS "n" FROM sessions GROUP BY 1 HAVING count(DISTINCT user_id) > 1
=== aggregates of constants, per person
SELECT n, count(*) FROM (SELECT user_id, sum(1) AS n, max(2) AS m, count(1) FILTER (WHERE device = 'mobile') AS p FROM sessions GROUP BY 1) x WHERE m = 2 GROUP BY n HAVING count(*) > 1
