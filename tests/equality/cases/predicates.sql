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
=== [later] exists as a key
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
