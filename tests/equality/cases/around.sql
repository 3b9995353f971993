=== a common table expression
WITH plans AS (SELECT plan, count(*) AS n FROM users GROUP BY plan) SELECT plan, n, n * 100.0 / sum(n) OVER () AS percent FROM plans
=== several
WITH a AS (SELECT country, count(*) AS n FROM users GROUP BY country), b AS (SELECT max(n) AS most FROM a)
SELECT country FROM a, b WHERE a.n = b.most
=== used twice
WITH a AS (SELECT plan, count(*) AS n FROM users GROUP BY plan) SELECT x.plan, y.plan FROM a x JOIN a y ON x.n < y.n
=== not materialized
WITH a AS NOT MATERIALIZED (SELECT plan, count(*) AS n FROM users GROUP BY plan) SELECT sum(n), max(n), min(n) FROM a
=== with column names
WITH a(p, n) AS (SELECT plan, count(*) FROM users GROUP BY plan) SELECT p FROM a ORDER BY n DESC, p LIMIT 1
=== a recursive one
WITH RECURSIVE t(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM t WHERE i < 4), n AS (SELECT count(*) AS c FROM users)
SELECT i, c * i FROM t, n ORDER BY i
=== a subquery in from
SELECT avg(n) AS mean, max(n) FROM (SELECT country, count(*) AS n FROM users GROUP BY country) AS c
=== two levels
SELECT round(avg(n), 2) FROM (SELECT n FROM (SELECT country, count(*) AS n FROM users GROUP BY country) AS a WHERE n > 3) AS b
=== groups over groups
SELECT n / 10 AS class, count(*) FROM (SELECT country, count(*) AS n FROM users GROUP BY country) AS c GROUP BY 1 ORDER BY 1
=== filters around
SELECT * FROM (SELECT plan, count(*) AS n FROM users GROUP BY plan) AS p WHERE n > 20 AND plan LIKE '%r%' ORDER BY n
=== a star around
SELECT p.*, 1 AS one FROM (SELECT plan, count(*) FROM users GROUP BY plan) AS p
=== a whole row around
SELECT count(p) FROM (SELECT plan, count(*) FROM users GROUP BY plan) AS p
=== union all
SELECT 'users' AS what, count(*) FROM users UNION ALL SELECT 'events', count(*) FROM events UNION ALL SELECT 'sessions', count(*) FROM sessions ORDER BY 2
=== union
SELECT plan FROM users GROUP BY plan UNION SELECT device FROM sessions GROUP BY device
=== except and intersect
(SELECT country FROM users GROUP BY country EXCEPT SELECT country FROM sales.orders GROUP BY country) INTERSECT SELECT code FROM countries
=== union with public rows
SELECT country AS c, count(*) FROM users GROUP BY 1 UNION ALL SELECT code, 0 FROM countries
=== scalar subqueries
SELECT (SELECT count(*) FROM users) AS people, (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM events)::numeric / (SELECT count(*) FROM users) AS each
=== a scalar in arithmetic
SELECT 100 * (SELECT count(*) FROM users WHERE plan = 'free') / nullif((SELECT count(*) FROM users), 0) AS percent
=== a scalar in having
SELECT country, count(*) FROM users GROUP BY country HAVING count(*) > (SELECT 10)
=== a scalar beside public rows
SELECT name, population, (SELECT count(*) FROM users) AS people FROM countries ORDER BY population DESC, name LIMIT 3
=== in a subquery's answer
SELECT name FROM countries WHERE code IN (SELECT country FROM users GROUP BY country HAVING count(*) > 10) ORDER BY name
=== exists over an answer
SELECT EXISTS (SELECT FROM users GROUP BY plan HAVING count(*) > 10) AS some
=== window rank
SELECT country, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS place FROM users GROUP BY country
=== window share
SELECT plan, country, count(*), sum(count(*)) OVER (PARTITION BY plan) AS plan_total, count(*) * 1.0 / sum(count(*)) OVER () AS share
FROM users GROUP BY plan, country
=== window running sum
SELECT date_trunc('month', signup_date) AS month, count(*), sum(count(*)) OVER (ORDER BY date_trunc('month', signup_date)) AS running
FROM users GROUP BY 1 ORDER BY 1
=== window lag
SELECT date_trunc('month', signup_date) AS month, count(*) - lag(count(*)) OVER (ORDER BY date_trunc('month', signup_date)) AS change FROM users GROUP BY 1 ORDER BY 1
=== named window
SELECT plan, count(*), row_number() OVER w, first_value(plan) OVER w FROM users GROUP BY plan WINDOW w AS (ORDER BY count(*) DESC, plan)
=== window with frame and filter
SELECT plan, sum(count(*)) FILTER (WHERE plan <> 'free') OVER (ORDER BY plan ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM users GROUP BY plan
=== case over an aggregate
SELECT plan, CASE WHEN count(*) > 50 THEN 'many' WHEN count(*) > 10 THEN 'some' ELSE 'few' END AS size FROM users GROUP BY plan
=== functions of answers
SELECT plan, greatest(count(*), 10), md5(plan), format('%s: %s', plan, count(*)), log(count(*) + 1)::numeric(8,3) FROM users GROUP BY plan
=== aggregates of an answer
SELECT string_agg(plan || '=' || n, ', ' ORDER BY plan) FROM (SELECT plan, count(*) AS n FROM users GROUP BY plan) AS p
=== json of an answer
SELECT json_agg(p ORDER BY plan) FROM (SELECT plan, count(*) AS n FROM users GROUP BY plan) AS p
=== arrays of an answer
SELECT array_agg(n ORDER BY n), array(SELECT plan FROM users GROUP BY plan ORDER BY plan) FROM (SELECT count(*) AS n FROM users GROUP BY plan) AS p
=== percentiles of an answer
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n) FROM (SELECT country, count(*) AS n FROM users GROUP BY country) AS c
=== series and an answer
SELECT m, coalesce(n, 0) AS n FROM generate_series(1, 12) AS m
LEFT JOIN (SELECT extract(month FROM signup_date)::int AS month, count(*) AS n FROM users GROUP BY 1) AS u ON u.month = m ORDER BY m
=== lateral over an answer
SELECT p.plan, l.twice FROM (SELECT plan, count(*) AS n FROM users GROUP BY plan) AS p, LATERAL (SELECT p.n * 2 AS twice) AS l
=== rollup over an answer
SELECT plan, sum(n) FROM (SELECT plan, is_admin, count(*) AS n FROM users GROUP BY 1, 2) AS p GROUP BY ROLLUP (plan)
=== values and an answer
SELECT v.label, u.n FROM (VALUES ('free', 'Free of charge'), ('pro', 'Paying')) AS v(plan, label) JOIN (SELECT plan, count(*) AS n FROM users GROUP BY plan) AS u USING (plan)
=== brackets around all
(SELECT count(*) FROM users)
=== brackets and order
(SELECT plan, count(*) FROM users GROUP BY plan) ORDER BY 2 DESC, 1 LIMIT 2
=== collation of an answer
SELECT plan COLLATE "C" AS p, count(*) FROM users GROUP BY plan ORDER BY plan COLLATE "C" DESC
=== only
SELECT count(*) FROM ONLY users
=== parameters inside and outside | $1 text = free | $2 int8 = 3
WITH a AS (SELECT country, count(*) AS n FROM users WHERE plan = $1 GROUP BY country) SELECT country, n + $2 FROM a WHERE n > $2
