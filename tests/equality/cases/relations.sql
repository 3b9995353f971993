=== two private tables on the unit
SELECT u.plan, count(*) FROM users u JOIN events e ON e.user_id = u.id GROUP BY u.plan
=== two, by comma
SELECT u.plan, e.kind, count(*) FROM users u, events e WHERE u.id = e.user_id GROUP BY u.plan, e.kind
=== the condition the other way about
SELECT e.kind, count(*), count(DISTINCT u.id) FROM events e JOIN users u ON u.id = e.user_id WHERE u.age > 30 GROUP BY e.kind
=== left join of private tables
SELECT u.plan, count(*), count(o.order_id), sum(o.total) FROM users u LEFT JOIN sales.orders o ON o.user_id = u.id GROUP BY u.plan
=== right join of private tables
SELECT u.plan, count(*), count(o.order_id) FROM sales.orders o RIGHT JOIN users u ON o.user_id = u.id GROUP BY u.plan
=== full join on the unit
SELECT count(*), count(o.user_id), count(s.user_id)
FROM (SELECT user_id FROM sales.orders GROUP BY user_id) o FULL JOIN (SELECT user_id FROM sessions GROUP BY user_id) s ON o.user_id = s.user_id
=== who has no partner
SELECT u.plan, count(*) FROM users u LEFT JOIN sessions s ON s.user_id = u.id WHERE s.user_id IS NULL GROUP BY u.plan
=== a condition beside the unit
SELECT s.device, count(*), sum(e.amount) FROM sessions s JOIN events e ON e.user_id = s.user_id AND e.session_id = s.id GROUP BY s.device
=== using the unit
SELECT e.kind, count(*) FROM events e JOIN (SELECT user_id, id AS session_id, device FROM sessions) s USING (user_id, session_id) WHERE s.device = 'mobile' GROUP BY e.kind
=== three private tables
SELECT u.plan, s.device, count(*) FROM users u JOIN sessions s ON s.user_id = u.id JOIN events e ON e.user_id = u.id AND e.session_id = s.id
GROUP BY u.plan, s.device
=== three, equal through each other
SELECT s.device, count(*) FROM users u, sessions s, events e
WHERE u.id = s.user_id AND s.user_id = e.user_id AND s.id = e.session_id AND u.is_admin GROUP BY s.device
=== private tables and public ones
SELECT c.region, e.kind, count(*) FROM users u JOIN countries c ON c.code = u.country JOIN events e ON e.user_id = u.id
GROUP BY c.region, e.kind HAVING count(DISTINCT u.id) > 1
=== public left of private
SELECT c.code, count(u.id) FROM countries c LEFT JOIN users u ON u.country = c.code GROUP BY c.code HAVING count(u.id) > 0
=== some public keys
SELECT c.code, count(u.id) FROM countries c LEFT JOIN users u ON u.country = c.code WHERE c.code IN ('FR', 'XX', 'DE') OR NOT c.code <> 'JP' GROUP BY c.code
=== every public key
SELECT r.code, count(o.order_id) AS orders FROM sales.regions r LEFT JOIN sales.orders o ON o.country = r.code GROUP BY r.code ORDER BY r.code
=== every public key, with a sum
SELECT r.code, count(o.order_id), coalesce(sum(o.total), 0.00) FROM sales.regions r LEFT JOIN sales.orders o ON o.country = r.code GROUP BY r.code
=== a self-join on the unit
SELECT count(*) FROM sales.orders a JOIN sales.orders b ON a.user_id = b.user_id AND a.order_id < b.order_id
=== a self-join with sums
SELECT count(*), sum(a.total), sum(b.total), sum(b.total - a.total) FROM sales.orders a JOIN sales.orders b ON a.user_id = b.user_id AND a.placed < b.placed
=== a self-join through a third
SELECT count(*) FROM sales.orders a, users u, sales.orders b WHERE a.user_id = u.id AND b.user_id = u.id AND a.order_id <> b.order_id
=== a subquery in from
SELECT plan, count(*) FROM (SELECT plan, age FROM users WHERE age > 20) AS u WHERE age < 60 GROUP BY plan
=== a subquery with an expression
SELECT decade, count(*) FROM (SELECT id, age / 10 * 10 AS decade FROM users) u GROUP BY decade HAVING count(*) > 1 ORDER BY decade
=== a subquery with a star
SELECT kind, sum(amount) FROM (SELECT * FROM events WHERE amount > 10) AS e GROUP BY kind HAVING count(amount) > 0
=== subqueries in subqueries
SELECT count(*), avg(x) FROM (SELECT x + 1 AS x FROM (SELECT age AS x FROM users WHERE plan = 'free') a WHERE x > 25) b
=== a join of subqueries
SELECT u.plan, count(*) FROM (SELECT id, plan FROM users WHERE NOT is_admin) u JOIN (SELECT user_id FROM events WHERE kind = 'search') e ON e.user_id = u.id GROUP BY u.plan
=== a private common table expression
WITH adults AS (SELECT id, plan, country FROM users WHERE age >= 18) SELECT plan, count(*) FROM adults GROUP BY plan
=== a common table expression used twice
WITH active AS (SELECT id, plan, age FROM users WHERE NOT is_admin)
SELECT (SELECT count(*) FROM active) AS n, plan, count(*) FROM active GROUP BY plan
=== a common table expression joined with itself
WITH o AS (SELECT user_id, order_id, total FROM sales.orders WHERE total > 20)
SELECT count(*) FROM o a JOIN o b ON a.user_id = b.user_id AND a.order_id < b.order_id
=== one common table expression over another
WITH a AS (SELECT id, plan, age FROM users), b AS (SELECT a.plan, e.kind FROM a JOIN events e ON e.user_id = a.id WHERE a.age > 30)
SELECT plan, kind, count(*) FROM b GROUP BY plan, kind
=== distinct rows of a unit
SELECT kind, count(*) FROM (SELECT DISTINCT user_id, kind FROM events) d GROUP BY kind
=== union all
SELECT what, count(*), count(DISTINCT user_id) FROM (SELECT user_id, 'event' AS what FROM events UNION ALL SELECT user_id, 'session' FROM sessions) x GROUP BY what HAVING count(DISTINCT user_id) > 1
=== union all of three
SELECT count(*), count(DISTINCT user_id) FROM (SELECT user_id FROM events WHERE kind = 'purchase' UNION ALL SELECT user_id FROM sales.orders UNION ALL SELECT id FROM users) x
=== union of units
SELECT count(*) FROM (SELECT user_id FROM sales.orders UNION SELECT user_id FROM events WHERE kind = 'purchase') x
=== intersect of units
SELECT count(*) FROM (SELECT user_id FROM sales.orders INTERSECT SELECT user_id FROM events WHERE kind = 'purchase') x
=== except of units
SELECT count(*) FROM (SELECT id FROM users EXCEPT SELECT user_id FROM events WHERE kind = 'purchase') x
=== lateral columns
SELECT x.late, count(*) FROM users u CROSS JOIN LATERAL (SELECT u.signup_date > date '2023-06-30' AS late) x GROUP BY x.late
=== lateral within the unit
SELECT f.kind, count(*) FROM users u JOIN LATERAL (SELECT e.kind FROM events e WHERE e.user_id = u.id AND e.amount IS NOT NULL) f ON true GROUP BY f.kind HAVING count(*) > 1
=== values
SELECT v.label, count(*) FROM users u JOIN (VALUES ('free', 'costs nothing'), ('pro', 'costs'), ('team', 'costs')) AS v(plan, label) ON v.plan = u.plan GROUP BY v.label
=== values as ranges
SELECT v.name, count(*) FROM users u JOIN (VALUES (0, 29, 'young'), (30, 49, 'middle'), (50, 200, 'old')) v(lo, hi, name) ON u.age BETWEEN v.lo AND v.hi GROUP BY v.name
=== a series
SELECT g.m, count(*) FROM generate_series(1, 12) AS g(m) JOIN users u ON extract(month FROM u.signup_date) = g.m GROUP BY g.m ORDER BY g.m
=== a series of dates
SELECT d::date AS day, count(*) FROM generate_series(timestamp '2024-01-01', timestamp '2024-03-01', interval '10 days') AS d
JOIN sales.orders o ON o.placed >= d AND o.placed < d + interval '10 days' GROUP BY d ORDER BY d
=== unnest of constants
SELECT k, count(*) FROM unnest(ARRAY['search', 'purchase']) AS k JOIN events e ON e.kind = k GROUP BY k
=== a parameter below a subquery | $1 int4 = 30
SELECT plan, count(*) FROM (SELECT plan, age FROM users WHERE age > $1) u GROUP BY plan
