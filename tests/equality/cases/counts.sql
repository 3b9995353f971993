=== all rows
SELECT count(*) FROM users
=== an alias
SELECT count(*) AS people FROM users AS u
=== several at once
SELECT count(*), count(age), count(country), count(DISTINCT id) FROM users
=== rows and people
SELECT count(*) AS events, count(DISTINCT user_id) AS people FROM events
=== a constant argument
SELECT count(1), count('x'), count(2.5) FROM sessions
=== a null argument
SELECT count(NULL::int), count(*) FROM users
=== filter
SELECT count(*) FILTER (WHERE plan = 'free') AS free, count(*) FILTER (WHERE NOT is_admin) FROM users
=== distinct units with filter
SELECT count(DISTINCT user_id) FILTER (WHERE kind = 'purchase') AS buyers, count(DISTINCT user_id) AS people FROM events
=== share of a whole
SELECT count(*) FILTER (WHERE plan <> 'free') * 100.0 / count(*) AS percent FROM users
=== ratio as float
SELECT count(DISTINCT user_id)::float8 / nullif(count(*), 0) FROM events WHERE kind = 'search'
=== an expression counted
SELECT count(age + 1), count(nullif(plan, 'free')), count(CASE WHEN age > 30 THEN 1 END) FROM users
=== twice the same
SELECT count(*), count(*) + 1 AS more, -count(*) AS less FROM users
=== cast of a count
SELECT count(*)::int, count(*)::numeric(10,2), count(*)::text, count(*)::float8 FROM users
=== nothing passes
SELECT count(*), count(DISTINCT id) FROM users WHERE age > 199
=== false
SELECT count(*) FROM users WHERE false
=== having without groups
SELECT count(*) FROM users HAVING count(*) > 10
=== having without groups, not met
SELECT count(*) FROM users HAVING count(*) > 1000000
=== a constant beside
SELECT 'people' AS what, count(*) AS n, 1 AS one, NULL AS nothing, current_date - current_date AS zero FROM users
=== a type's count
SELECT count(small), count(big), count(price), count(free), count(ratio), count(mass), count(note), count(code), count(fixed),
       count(flag), count(born), count(seen), count(moment), count(clock), count(token), count(feeling), count(share), count(tag)
FROM things
=== an interval column counted
SELECT count(span) FROM things
=== a comment in front
-- how many people?
/* and /* nested */ */ SELECT count(*) FROM users
=== a trailing semicolon
SELECT count(*) FROM users;
=== comments everywhere
SELECT /* one */ count(*) -- two
FROM users -- three
=== upper case and line ends
select	COUNT ( * )
From  USERS
Where	PLAN = 'free'
=== parameters | $1 int4 = 30 | $2 text = free
SELECT count(*) FROM users WHERE age > $1 AND plan = $2
=== a parameter without type | $1 unknown = 40
SELECT count(*) FROM users WHERE age <= $1
=== a list parameter | $1 _text = {free,pro}
SELECT count(*) FROM users WHERE plan = ANY ($1)
=== a parameter in the answer | $1 int4 = 7 | $2 text = label
SELECT count(*) + $1 AS more, $2 AS label FROM users
=== a null parameter | $1 int4 = NULL
SELECT count(*) FROM users WHERE age > $1
=== a date parameter | $1 date = 2023-06-01
SELECT count(*) FROM users WHERE signup_date >= $1
=== a parameter used twice | $1 int4 = 25
SELECT count(*) FILTER (WHERE age < $1) AS younger, count(*) FILTER (WHERE age >= $1) AS others FROM users
