=== comparisons
SELECT count(*) FILTER (WHERE age = 30), count(*) FILTER (WHERE age <> 30), count(*) FILTER (WHERE age != 30),
       count(*) FILTER (WHERE age < 30), count(*) FILTER (WHERE age >= 30) FROM users
=== and, or, not
SELECT count(*) FROM users WHERE NOT (plan = 'free' OR age > 30) AND (is_admin OR country = 'US' OR country IS NULL)
=== in
SELECT count(*) FROM users WHERE plan IN ('free', 'pro') AND age NOT IN (20, 21)
=== in with null
SELECT count(*) FROM users WHERE age NOT IN (20, NULL)
=== between
SELECT count(*) FROM users WHERE age BETWEEN 20 AND 30
=== between symmetric
SELECT count(*) FROM users WHERE age BETWEEN SYMMETRIC 30 AND 20
=== not between
SELECT count(*) FROM users WHERE age NOT BETWEEN 20 AND 30
=== like
SELECT count(*) FROM things WHERE note LIKE '%a%'
=== not like
SELECT count(*) FROM things WHERE note NOT LIKE 'alp_a'
=== ilike
SELECT count(*) FROM things WHERE note ILIKE 'BETA%' OR note ILIKE '%röSSE'
=== like with escape
SELECT count(*) FROM things WHERE note LIKE 'a\\b'
=== is null
SELECT count(*) FROM users WHERE country IS NULL
=== is not null
SELECT count(*) FROM users WHERE country IS NOT NULL AND age ISNULL
=== is distinct from
SELECT count(*) FROM users WHERE country IS DISTINCT FROM 'US'
=== is not distinct from
SELECT count(*) FROM users WHERE country IS NOT DISTINCT FROM NULL
=== boolean tests
SELECT count(*) FILTER (WHERE flag IS TRUE), count(*) FILTER (WHERE flag IS NOT TRUE), count(*) FILTER (WHERE flag IS FALSE),
       count(*) FILTER (WHERE flag IS UNKNOWN), count(*) FILTER (WHERE flag IS NOT UNKNOWN), count(*) FILTER (WHERE flag) FROM things
=== a test of a comparison
SELECT count(*) FROM users WHERE (age > 30) IS NOT TRUE
=== boolean column alone
SELECT count(*) FROM users WHERE is_admin
=== boolean equals
SELECT count(*) FROM things WHERE flag = true OR flag = 'f'
=== enum
SELECT count(*) FROM things WHERE feeling = 'happy' OR feeling < 'ok'
=== enum list
SELECT count(*) FROM things WHERE feeling IN ('sad', 'ok')
=== uuid
SELECT count(*) FROM things WHERE token = '00000000-0000-0000-0000-000000000002'
=== uuid list
SELECT count(*) FROM things WHERE token IN ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001')
=== time
SELECT count(*) FROM things WHERE clock BETWEEN '07:00' AND '12:30:00'
=== char and varchar
SELECT count(*) FROM things WHERE fixed = 'ab' AND code = 'x1' OR fixed = 'ab  '
=== numbers of different types
SELECT count(*) FROM things WHERE price > whole AND small < 2.5 AND mass >= 0 AND big > 3000000001
=== real and double
SELECT count(*) FROM things WHERE ratio = 0.25 OR mass = ratio
=== columns against each other
SELECT count(*) FROM things WHERE whole = share OR born > seen OR note > code
=== arithmetic
SELECT count(*) FROM things WHERE whole * 2 + 1 > share - 3 AND whole % 3 = 1
=== division by zero is no row
SELECT count(*) FROM things WHERE small <> 0 AND 6 / small > 1
=== coalesce
SELECT count(*) FROM users WHERE coalesce(age, 0) > 20 AND coalesce(country, 'x') <> 'US'
=== case
SELECT count(*) FROM users WHERE CASE WHEN plan = 'free' THEN age > 30 ELSE age < 30 END
=== text comparisons
SELECT count(*) FROM things WHERE note < 'b' OR note >= 'z'
=== collation C
SELECT count(*) FROM things WHERE note COLLATE "C" < 'b'
=== starts with
SELECT count(*) FROM things WHERE starts_with(note, 'al') OR note ^@ 'Be'
=== like any
SELECT count(*) FROM things WHERE note LIKE ANY (ARRAY['al%', '%ta'])
=== not equal to all
SELECT count(*) FROM users WHERE plan <> ALL (ARRAY['free', 'team'])
=== dates
SELECT count(*) FROM users WHERE signup_date >= '2023-01-01' AND signup_date < date '2023-07-01'
=== timestamps
SELECT count(*) FROM events WHERE occurred_at >= timestamp '2024-03-31 02:00' AND occurred_at < '2024-06-01'
=== date and timestamp
SELECT count(*) FROM things WHERE seen > born AND moment > seen
=== date arithmetic
SELECT count(*) FROM things WHERE born + 30 > date '2024-03-29' AND born - 1 < date '2024-03-01'
=== interval arithmetic
SELECT count(*) FROM things WHERE seen + interval '1 day 2 hours' > '2024-04-01' AND born - interval '1 month' < '2024-01-30'
=== difference of dates
SELECT count(*) FROM things WHERE date '2024-03-05' - born > 3
=== difference of timestamps
SELECT count(*) FROM things WHERE seen - timestamp '2024-03-30' > interval '1 day'
=== now and intervals
SELECT count(*) FROM events WHERE occurred_at > now() - interval '20 years' AND occurred_at < now() + interval '1 day'
=== current date
SELECT count(*) FROM users WHERE signup_date <= current_date AND signup_date > current_date - 20000
=== current timestamp truncated
SELECT count(*) FROM events WHERE occurred_at < date_trunc('month', current_timestamp) - interval '1 month'
=== extract
SELECT count(*) FROM things WHERE extract(isodow FROM born) = 4 OR date_part('hour', seen) = 5
=== extract epoch
SELECT count(*) FROM things WHERE extract(epoch FROM moment) > 1730000000
=== at time zone
SELECT count(*) FROM events WHERE (occurred_at AT TIME ZONE 'America/New_York')::date = '2024-06-01'
=== a cast of a timestamp to date
SELECT count(*) FROM events WHERE occurred_at::date BETWEEN '2024-05-01' AND '2024-05-31'
=== constants folded
SELECT count(*) FROM users WHERE age > 10 + 2 * 5 AND plan = lower('FREE') AND signup_date > to_date('2023', 'YYYY')
=== true
SELECT count(*) FROM users WHERE true
=== null
SELECT count(*) FROM users WHERE NULL
=== a very long list
SELECT count(*) FROM things WHERE id IN (1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32)
=== escapes | $1 text = a\b
SELECT count(*) FROM things WHERE note = $1 OR note = E'it\'s' OR note = 'Größe' OR note = $q$alpha$q$
=== a pattern parameter | $1 text = %a%
SELECT count(*) FROM things WHERE note LIKE $1
=== a timestamp parameter | $1 timestamptz = 2024-06-01 12:00:00+02 | $2 interval = 30 days
SELECT count(*) FROM events WHERE occurred_at BETWEEN $1 AND $1 + $2
=== a uuid parameter | $1 uuid = 00000000-0000-0000-0000-000000000003
SELECT count(*) FROM things WHERE token = $1
=== an enum parameter | $1 unknown = happy
SELECT count(*) FROM things WHERE feeling = $1
=== number parameters | $1 numeric = 2.50 | $2 float8 = 1.5 | $3 int2 = 1
SELECT count(*) FROM things WHERE price > $1 AND mass < $2 AND small >= $3
=== a boolean parameter | $1 bool = t
SELECT count(*) FROM users WHERE is_admin = $1 OR $1
