=== a declared key
SELECT plan, count(*) FROM users GROUP BY plan
=== a key declared by a public table
SELECT country, count(*), avg(age) FROM users GROUP BY country
=== a key read from data
SELECT feature, count(*) FROM events GROUP BY feature
=== several keys
SELECT plan, is_admin, count(*) FROM users GROUP BY plan, is_admin
=== declared and undeclared keys
SELECT kind, feature, count(*), count(DISTINCT user_id) FROM events GROUP BY kind, feature
=== ordinals
SELECT plan, country, count(*) FROM users GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
=== aliases
SELECT plan AS p, count(*) AS n FROM users GROUP BY p ORDER BY n DESC, p
=== a key that is not shown
SELECT count(*) FROM users GROUP BY plan
=== a key shown twice
SELECT plan, plan AS again, upper(plan) AS loud, count(*) FROM users GROUP BY plan
=== brackets around a key
SELECT (plan), count(*) FROM users GROUP BY (plan)
=== order with nulls
SELECT country, count(*) FROM users GROUP BY country ORDER BY country NULLS FIRST
=== order down with nulls last
SELECT country, count(*) FROM users GROUP BY country ORDER BY country DESC NULLS LAST
=== order by what is not shown
SELECT plan FROM users GROUP BY plan ORDER BY count(*) DESC, plan
=== limit and offset
SELECT country, count(*) FROM users GROUP BY country ORDER BY count(*) DESC, country LIMIT 5 OFFSET 2
=== fetch first
SELECT country, count(*) AS n FROM users GROUP BY country ORDER BY n DESC, country FETCH FIRST 3 ROWS ONLY
=== fetch with ties
SELECT country, count(*) AS n FROM users GROUP BY country ORDER BY n DESC FETCH FIRST 3 ROWS WITH TIES
=== having
SELECT country, count(*) FROM users GROUP BY country HAVING count(*) > 10
=== having on another aggregate
SELECT kind, sum(amount) FROM events GROUP BY kind HAVING count(amount) > 0 AND avg(amount) < 100
=== having on the key
SELECT plan, count(*) FROM users GROUP BY plan HAVING plan <> 'free' OR count(*) > 100
=== where and groups
SELECT device, count(*), sum(duration_s), avg(duration_s) FROM sessions WHERE duration_s > 60 GROUP BY device
=== distinct key
SELECT DISTINCT plan FROM users
=== distinct keys read from data
SELECT DISTINCT feature FROM events WHERE feature IS NOT NULL ORDER BY feature
=== distinct pairs
SELECT DISTINCT kind, feature FROM events
=== distinct expression
SELECT DISTINCT date_trunc('month', occurred_at) AS month FROM events ORDER BY 1
=== distinct over aggregates
SELECT DISTINCT count(*) > 50 AS many FROM users GROUP BY plan
=== groups without aggregates
SELECT plan FROM users GROUP BY plan ORDER BY plan
=== a boolean key
SELECT is_admin, count(*) FROM users GROUP BY is_admin
=== a nullable boolean key
SELECT flag, count(*), sum(whole) FROM things GROUP BY flag
=== an enum key
SELECT feeling, count(*) FROM things GROUP BY feeling ORDER BY feeling
=== a date key
SELECT born, count(*) FROM things GROUP BY born
=== a timestamp key
SELECT seen, count(*) FROM things GROUP BY seen
=== a timestamp with time zone and precision
SELECT moment, count(*) FROM things GROUP BY moment
=== a time key
SELECT clock, count(*) FROM things GROUP BY clock
=== a uuid key
SELECT token, count(*) FROM things GROUP BY token
=== a varchar key
SELECT code, count(*) FROM things GROUP BY code
=== a char key
SELECT fixed, count(*) FROM things GROUP BY fixed
=== a text key with quotes and backslashes
SELECT note, count(*) FROM things GROUP BY note
=== a smallint key
SELECT small, count(*) FROM things GROUP BY small
=== a bigint key
SELECT big, count(*) FROM things GROUP BY big
=== a numeric key
SELECT price, count(*) FROM things GROUP BY price
=== a real key
SELECT ratio, count(*) FROM things GROUP BY ratio
=== a double key
SELECT mass, count(*) FROM things GROUP BY mass
=== a domain type as key
SELECT share, count(*) FROM things WHERE share < 5 GROUP BY share
=== a domain over varchar as key
SELECT tag, count(*) FROM things GROUP BY tag
=== case key
SELECT CASE WHEN age < 25 THEN 'young' WHEN age >= 25 THEN 'older' ELSE 'unknown' END AS class, count(*) FROM users GROUP BY 1
=== simple case key
SELECT CASE plan WHEN 'free' THEN 0 ELSE 1 END AS paying, count(*) FROM users GROUP BY 1 ORDER BY 1
=== case key without else
SELECT CASE WHEN country IN ('US', 'CA') THEN 'North America' END, count(*) FROM users GROUP BY 1
=== a comparison as key
SELECT age > 30 AS over_thirty, count(*) FROM users GROUP BY age > 30
=== arithmetic bucket
SELECT age / 10 * 10 AS decade, count(*) FROM users GROUP BY age / 10 * 10 HAVING count(DISTINCT id) > 1 ORDER BY decade
=== modulo bucket
SELECT whole % 4, count(*) FROM things GROUP BY whole % 4
=== numeric bucket
SELECT floor(price / 2.5) * 2.5 AS bucket, count(*) FROM things GROUP BY 1 ORDER BY 1
=== rounded bucket
SELECT round(price, 0) AS dollars, round(price, -1) AS tens, count(*) FROM things GROUP BY 1, 2
=== float bucket
SELECT floor(mass), count(*) FROM things GROUP BY floor(mass)
=== a key in an expression of the answer
SELECT age / 10 AS decade, (age / 10) * 10 || '-' || (age / 10) * 10 + 9 AS label, count(*) FROM users WHERE age < 60 GROUP BY age / 10
=== coalesce key
SELECT coalesce(country, 'none') AS country, count(*) FROM users GROUP BY coalesce(country, 'none') HAVING count(*) > 1
=== nullif key
SELECT nullif(plan, 'free') AS paid, count(*) FROM users GROUP BY 1
=== greatest and least keys
SELECT greatest(small, 0) AS low, least(whole, 3::bigint) AS high, count(*) FROM things GROUP BY 1, 2 HAVING count(DISTINCT user_id) > 1
=== text functions as keys
SELECT upper(code) AS u, length(note) AS n, substr(note, 1, 2) AS s, count(*) FROM things GROUP BY 1, 2, 3
=== more text functions
SELECT lower(note) AS l, left(note, 3) AS f, right(note, 1) AS r, count(*) FROM things GROUP BY 1, 2, 3
=== substring and trim
SELECT substring(note FROM 2 FOR 3) AS s, trim(note) AS t, trim(both 'a' FROM note) AS b, ltrim(note, 'a') AS l, count(*)
FROM things GROUP BY 1, 2, 3, 4
=== concatenation
SELECT plan || ' in ' || country AS where, count(*) FROM users GROUP BY 1 HAVING count(id) > 1
=== cast keys
SELECT age::text AS t, is_admin::text AS b, id % 2 AS d, count(*) FROM users WHERE age < 30 GROUP BY 1, 2, 3 HAVING count(*) > 1
=== number casts as keys
SELECT price::int AS i, whole::numeric AS n, mass::int AS m, whole::float8 AS f, whole::bool AS b, count(*) FROM things
GROUP BY 1, 2, 3, 4, 5 HAVING count(DISTINCT user_id) > 1
=== cast to a modified type
SELECT price::numeric(6,1) AS p, note::varchar(3) AS v, note::char(2) AS c, count(*) FROM things GROUP BY 1, 2, 3 HAVING count(DISTINCT user_id) > 1
=== a constant key
SELECT 'all' AS what, count(*) FROM users GROUP BY 1
=== empty groups are left out
SELECT plan, count(*) FROM users WHERE plan IN ('free', 'pro') GROUP BY plan
=== nothing in any group
SELECT plan, count(*) FROM users WHERE age > 199 GROUP BY plan
=== nothing in any group read from data
SELECT feature, count(*) FROM events WHERE kind = 'purchase' AND feature IS NOT NULL GROUP BY feature
=== averages per group
SELECT feeling, avg(price), avg(mass), avg(small), sum(big - 3000000000) FROM things GROUP BY feeling
=== a group key parameter | $1 int4 = 20
SELECT age / $1 AS class, count(*) FROM users GROUP BY 1
=== having with a parameter | $1 int8 = 12
SELECT country, count(*) FROM users GROUP BY country HAVING count(*) >= $1
=== limit by parameter | $1 int8 = 3
SELECT country, count(*) FROM users GROUP BY country ORDER BY 2 DESC, 1 LIMIT $1
=== group by all columns of a list | $1 _int4 = {1,2,3}
SELECT whole, count(*) FROM things WHERE whole = ANY ($1) GROUP BY whole
=== conditions within a subquery say which groups there are
SELECT kind, count(*) FROM (SELECT * FROM events WHERE kind IN ('signup', 'purchase')) t GROUP BY kind
=== conditions within WITH, renamed, and around
WITH t AS (SELECT country AS c, id FROM users WHERE country <> 'FR'), s AS (SELECT c AS place, id FROM t WHERE c IS NOT NULL)
SELECT place, count(*) FROM s WHERE place > 'B' GROUP BY place
=== conditions within each branch
SELECT what, count(*) FROM (SELECT 'event' AS what, user_id FROM events WHERE kind = 'purchase' UNION ALL SELECT 'person', id FROM users) t GROUP BY what
=== conditions within the far side of an outer join
SELECT s.kind, count(*) FROM users u LEFT JOIN (SELECT user_id, max(kind) AS most, kind FROM events WHERE kind = 'purchase' GROUP BY user_id, kind) s ON s.user_id = u.id GROUP BY s.kind
