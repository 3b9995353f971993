=== inner join
SELECT c.region, count(*) FROM users u JOIN countries c ON c.code = u.country GROUP BY c.region
=== left join
SELECT c.region, count(*), count(c.code) FROM users u LEFT JOIN countries c ON u.country = c.code GROUP BY c.region
=== comma
SELECT c.name, count(*) FROM users u, countries c WHERE u.country = c.code GROUP BY c.name HAVING count(*) > 1
=== right join from the public side's other hand
SELECT c.region, count(*) FROM countries c RIGHT JOIN users u ON u.country = c.code GROUP BY c.region
=== using
SELECT region, count(*) FROM (SELECT code AS country, region FROM countries) AS c JOIN (SELECT country, count(*) AS n FROM users GROUP BY country) AS u USING (country) GROUP BY region
=== using on the tables
SELECT w.week, count(*) FROM sales.orders JOIN sales.weeks w USING (country) GROUP BY w.week
=== natural
SELECT week, count(*), sum(total) FROM sales.orders NATURAL JOIN sales.weeks GROUP BY week
=== natural with the shared column as key
SELECT country, count(*) FROM sales.orders NATURAL JOIN sales.weeks GROUP BY country
=== using with the shared column as key
SELECT country, count(*) FROM sales.orders o LEFT JOIN sales.weeks w USING (country) GROUP BY country
=== a join that multiplies rows
SELECT count(*), sum(total), count(DISTINCT user_id) FROM sales.orders o JOIN sales.weeks w ON w.country = o.country
=== cross join
SELECT r.code, count(*) FROM sales.orders CROSS JOIN sales.regions r GROUP BY r.code
=== two public tables
SELECT r.lead, c.region, count(*) FROM sales.orders o JOIN countries c ON c.code = o.country
LEFT JOIN sales.regions r ON r.code = c.code GROUP BY 1, 2
=== conditions on the public side
SELECT count(*) FROM users u JOIN countries c ON c.code = u.country WHERE c.region = 'Europe' AND c.population > 10000000
=== a condition in the join
SELECT c.region, count(*) FROM users u LEFT JOIN countries c ON c.code = u.country AND c.region LIKE 'E%' GROUP BY 1
=== not in the other table
SELECT count(*) FROM users u LEFT JOIN countries c ON c.code = u.country WHERE c.code IS NULL
=== sums beside a join
SELECT c.region, avg(u.age), sum(u.age) FROM users u JOIN countries c ON c.code = u.country GROUP BY c.region
=== public values in a key
SELECT CASE WHEN c.population > 50000000 THEN 'large' ELSE 'small' END AS size, count(*) FROM users u JOIN countries c ON c.code = u.country GROUP BY 1
=== a constant join condition
SELECT count(*) FROM users u JOIN countries c ON c.code = 'FR'
=== the answer joined with a public table
SELECT c.name, u.n FROM countries c JOIN (SELECT country, count(*) AS n FROM users GROUP BY country) u ON u.country = c.code ORDER BY u.n DESC, c.name
=== public rows without people
SELECT c.name, coalesce(u.n, 0) AS n FROM countries c LEFT JOIN (SELECT country, count(*) AS n FROM users GROUP BY country) u ON u.country = c.code
=== answers of two tables joined
SELECT a.user_count, b.event_count FROM (SELECT count(*) AS user_count FROM users) a, (SELECT count(*) AS event_count FROM events) b
=== answers joined on a key
SELECT p.plan, p.n, a.n AS admins FROM (SELECT plan, count(*) n FROM users GROUP BY plan) p
LEFT JOIN (SELECT plan, count(*) n FROM users WHERE is_admin GROUP BY plan) a ON a.plan = p.plan ORDER BY p.plan
=== a parameter in a join | $1 text = Europe
SELECT c.name, count(*) FROM users u JOIN countries c ON c.code = u.country AND c.region = $1 GROUP BY c.name HAVING count(*) > 1
=== schema-qualified
SELECT public.users.plan, count(*) FROM public.users GROUP BY public.users.plan
=== a second schema
SELECT country, count(*), sum(total), avg(total) FROM sales.orders GROUP BY country
=== tables of two schemas
SELECT c.region, sum(o.total) FROM sales.orders AS o INNER JOIN public.countries AS c ON (o.country = c.code) GROUP BY c.region
=== rows of each person, by the merged column of a full join
SELECT count(*), count(*) FILTER (WHERE n > 5), count(*) FILTER (WHERE m = 0) FROM (SELECT user_id, count(amount) AS n, count(device) AS m FROM events FULL JOIN sessions USING (user_id) WHERE user_id < 300 GROUP BY user_id) t
=== rows of a full join, joined by its merged column
SELECT u.plan, count(*), count(t.most) FROM (SELECT user_id AS who, most FROM (SELECT user_id, max(amount) AS most FROM events GROUP BY user_id) e FULL JOIN (SELECT DISTINCT user_id FROM sessions) s USING (user_id)) t JOIN users u ON u.id = t.who GROUP BY u.plan
=== sums over VALUES
SELECT sum(v.w), avg(v.w) FROM users u JOIN (VALUES ('free', 1), ('pro', 3), ('team', NULL)) v(plan, w) ON v.plan = u.plan
=== groups and sums of VALUES, negative and fractions
WITH v(plan, label, w) AS (VALUES ('free', 'none', -1.5), ('pro', 'some', 2.25), ('team', 'some', 40), ('none', NULL, 9))
SELECT v.label, round(sum(v.w), 2), round(sum(v.w * 2 + 1), 2) FROM v JOIN users u ON u.plan = v.plan GROUP BY v.label
=== sums over generate_series
SELECT g.m, sum(g.m), count(*) FROM generate_series(12, 1, -1) AS g(m) JOIN users u ON extract(month FROM u.signup_date) = g.m GROUP BY g.m
