=== exists on the unit
SELECT plan, count(*) FROM users u WHERE EXISTS (SELECT FROM events e WHERE e.user_id = u.id AND e.kind = 'purchase') GROUP BY plan
=== not exists on the unit
SELECT plan, count(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = u.id) GROUP BY plan
=== exists with more conditions
SELECT device, count(*) FROM sessions s WHERE EXISTS (SELECT FROM events e WHERE e.user_id = s.user_id AND e.session_id = s.id AND e.amount > 20) GROUP BY device
=== in on the unit
SELECT plan, count(*) FROM users WHERE id IN (SELECT user_id FROM events WHERE kind = 'search') GROUP BY plan
=== in, over those with many
SELECT count(*) FROM users WHERE id IN (SELECT user_id FROM sessions GROUP BY user_id HAVING count(*) >= 3)
=== exists twice
SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM events e WHERE e.user_id = u.id AND e.kind = 'search')
AND NOT EXISTS (SELECT FROM events e WHERE e.user_id = u.id AND e.kind = 'purchase')
=== exists under or
SELECT count(*) FROM users u WHERE u.is_admin OR EXISTS (SELECT FROM sales.orders o WHERE o.user_id = u.id)
=== exists in a filter
SELECT plan, count(*) FILTER (WHERE EXISTS (SELECT FROM sales.orders o WHERE o.user_id = u.id)) FROM users u GROUP BY plan
=== exists as a key
SELECT EXISTS (SELECT FROM sales.orders o WHERE o.user_id = u.id) AS customer, count(*) FROM users u GROUP BY 1
=== a public in
SELECT count(*) FROM users WHERE country IN (SELECT code FROM countries WHERE region = 'Europe')
=== a public not in
SELECT plan, count(*) FROM users WHERE country NOT IN (SELECT code FROM countries WHERE population > 50000000) GROUP BY plan
=== a public exists
SELECT count(*) FROM users u WHERE EXISTS (SELECT FROM countries c WHERE c.code = u.country AND c.region = 'Europe')
=== a public not exists
SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM sales.regions r WHERE r.code = u.country)
=== a public scalar
SELECT count(*) FROM users WHERE age > (SELECT count(*) FROM countries)
=== a public scalar, correlated
SELECT count(*) FROM users u WHERE (SELECT c.population FROM countries c WHERE c.code = u.country) > 50000000
=== any of a public column
SELECT count(*) FROM users WHERE country = ANY (SELECT code FROM sales.regions)
=== above the average
SELECT count(*) FROM users WHERE age > (SELECT avg(age) FROM users)
=== above the average, by key
SELECT kind, count(*) FROM events WHERE amount > (SELECT avg(amount) FROM events) GROUP BY kind HAVING count(*) > 0
=== above an average of another table
SELECT plan, count(*) FROM users WHERE age * 10 > (SELECT avg(duration_s) FROM sessions) GROUP BY plan
=== a scalar of the unit's own rows
SELECT count(*) FROM users u WHERE (SELECT count(*) FROM sessions s WHERE s.user_id = u.id) > 2
=== a scalar of the unit's own rows, summed
SELECT plan, sum(least((SELECT count(*) FROM sessions s WHERE s.user_id = u.id), 50)) FROM users u GROUP BY plan
=== a released answer within a condition
SELECT count(*) FROM users WHERE country IN (SELECT country FROM users GROUP BY country HAVING count(*) > 10)
=== in a common table expression
WITH buyers AS (SELECT user_id FROM events WHERE kind = 'purchase') SELECT plan, count(*) FROM users WHERE id IN (SELECT user_id FROM buyers) GROUP BY plan
=== an array of a closed subquery
SELECT count(*) FROM users WHERE country = ANY (ARRAY(SELECT country FROM users GROUP BY country HAVING count(*) > 10))
=== a row of the unit's, by its key
SELECT count(*) FROM events e WHERE (SELECT u.age FROM users u WHERE u.id = e.user_id) > 30
=== more than all others of the unit's own
SELECT count(*) FROM things t WHERE t.price > ALL (SELECT s.price FROM things s WHERE s.user_id = t.user_id AND s.id <> t.id)
=== not at least as much as any other of the unit's own
SELECT count(*) FROM things t WHERE NOT t.small >= ANY (SELECT s.small FROM things s WHERE s.user_id = t.user_id AND s.id <> t.id)
=== NULL among the unit's own, or none
SELECT count(*) FROM things t WHERE (t.small <= ALL (SELECT s.small FROM things s WHERE s.user_id = t.user_id)) IS NULL
=== not in, where a NULL may be among the unit's own
SELECT count(*) FROM users u WHERE u.country NOT IN (SELECT o.country FROM sales.orders o WHERE o.user_id = u.id)
=== not equal to all, with NULLs
SELECT count(*) FROM things t WHERE t.note <> ALL (SELECT s.note FROM things s WHERE s.user_id = t.user_id AND s.id <> t.id)
=== in, as a value that may be NULL
SELECT count(*) FILTER (WHERE (t.note IN (SELECT s.note FROM things s WHERE s.user_id = t.user_id AND s.id > t.id)) IS NOT FALSE) FROM things t
=== the unit itself not among others
SELECT count(*) FROM sessions s WHERE s.user_id NOT IN (SELECT u.id FROM users u WHERE u.is_admin)
=== lateral without from
SELECT l.decade, count(*) FROM users u, LATERAL (SELECT u.age / 10 * 10 AS decade) l WHERE u.age < 60 GROUP BY 1
=== a condition beside an order of the unit's own
SELECT h, count(*) FROM (SELECT row_number() OVER (PARTITION BY s.user_id ORDER BY s.started_at) AS n, EXISTS (SELECT FROM events e WHERE e.session_id = s.id AND e.user_id = s.user_id AND e.kind = 'purchase') AS h FROM sessions s) x WHERE n = 1 GROUP BY h
=== in as a key
SELECT CASE WHEN id IN (SELECT o.user_id FROM sales.orders o WHERE o.user_id IS NOT NULL) THEN 'customer' ELSE 'visitor' END AS kind, count(*), avg(age) FROM users GROUP BY 1 ORDER BY 1
=== a number of each person's as a key
SELECT least((SELECT count(*) FROM sessions s WHERE s.user_id = u.id), 3) AS sessions, count(*) FROM users u GROUP BY 1
=== a condition as a key and in an aggregate
SELECT EXISTS (SELECT FROM sales.orders o WHERE o.user_id = u.id) AS customer, plan, avg(CASE WHEN EXISTS (SELECT FROM sessions s WHERE s.user_id = u.id) THEN u.age END) FROM users u GROUP BY 1, 2
=== having and order by a condition of each person's
SELECT count(*) FROM users u GROUP BY EXISTS (SELECT FROM sales.orders o WHERE o.user_id = u.id) HAVING count(*) > 3 ORDER BY EXISTS (SELECT FROM sales.orders o WHERE o.user_id = u.id)

=== NOT IN rows that an outer join fills up with NULLs
SELECT u.id NOT IN (SELECT s.id FROM countries c LEFT JOIN sessions s ON s.user_id = u.id AND c.code = u.country) AS k, count(*)
FROM users u GROUP BY 1

=== a group of NULL from an outer join of public rows with a named value
SELECT l.device, count(*) FROM users u, LATERAL (SELECT s.device FROM countries c
LEFT JOIN (SELECT user_id, device FROM sessions WHERE device IN ('mobile', 'tablet')) AS s ON s.user_id = u.id AND c.code = u.country) AS l
GROUP BY 1
