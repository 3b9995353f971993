=== integers
SELECT sum(duration_s), avg(duration_s) FROM sessions
=== numeric
SELECT sum(amount), avg(amount) FROM events
=== double precision on a grid
SELECT sum(mass), avg(mass) FROM things
=== real on a grid
SELECT sum(ratio), avg(ratio) FROM things
=== smallint
SELECT sum(small), avg(small) FROM things
=== bigint
SELECT avg(big), sum(big - 3000000000) FROM things
=== numeric with two decimals
SELECT sum(price), avg(price) FROM things
=== a domain type
SELECT sum(share), avg(share), count(*) FILTER (WHERE share BETWEEN 50 AND 60) FROM things
=== filtered sums
SELECT sum(duration_s) FILTER (WHERE device = 'mobile') AS mobile, sum(duration_s) AS total,
       avg(duration_s) FILTER (WHERE device = 'tablet') AS tablet
FROM sessions
=== of products
SELECT sum(price * whole), sum(price * 2), sum(2 * whole + 1), sum(-whole) FROM things
=== of quotients
SELECT sum(whole / 3), sum(whole % 5), sum(big / 1000000000) FROM things
=== of differences
SELECT sum(share - whole), avg(whole - small) FROM things
=== of case
SELECT sum(CASE WHEN kind = 'purchase' THEN 1 ELSE 0 END) AS purchases, sum(CASE WHEN kind = 'search' THEN 1 END) FROM events
=== of a case with values
SELECT sum(CASE WHEN flag THEN price END), sum(CASE feeling WHEN 'happy' THEN 2 WHEN 'sad' THEN -1 ELSE 0 END) FROM things
=== of coalesce
SELECT sum(coalesce(small, 0)), avg(coalesce(price, 1.5)) FROM things
=== of greatest and least
SELECT sum(greatest(small, 0)), sum(least(share, 50)) FROM things
=== of abs and round
SELECT sum(abs(small)), sum(round(price)), sum(floor(price)), sum(ceil(price)), sum(round(price, 1)) FROM things
=== of mod and sign
SELECT sum(mod(whole, 4)), sum(sign(price)) FROM things
=== of a length
SELECT sum(least(length(note), 20)), avg(least(length(note), 20)) FROM things
=== of a flag
SELECT sum(flag::int), avg(flag::int) FROM things
=== of dates
SELECT avg(born - date '2024-01-01'), sum(date '2024-12-31' - born) FROM things
=== of date parts
SELECT avg(extract(day FROM born)), sum(extract(hour FROM seen)) FROM things
=== casts
SELECT sum(whole::numeric), sum(price::numeric(10,1)), sum(whole::bigint), sum(small::int) FROM things
=== bounds from the statement
SELECT sum(order_id) FROM sales.orders WHERE order_id BETWEEN 10 AND 200
=== bounds from a list
SELECT sum(order_id), avg(order_id) FROM sales.orders WHERE order_id IN (1, 5, 250)
=== bounds from a filter
SELECT sum(id) FILTER (WHERE id >= 1 AND id <= 400) FROM users
=== arithmetic over sums
SELECT sum(duration_s) / 60.0 AS minutes, sum(duration_s) / count(*) AS mean, round(avg(duration_s), 2) FROM sessions
=== average beside a count
SELECT count(price), sum(price), avg(price), sum(price) / count(price) AS again FROM things
=== nothing to average
SELECT avg(age), count(age) FROM users WHERE age > 199
=== a sum over nothing beside its count
SELECT sum(age), count(age) FROM users WHERE age > 199
=== formats
SELECT to_char(sum(duration_s), 'FM999,999,999') AS text, sum(duration_s)::text || ' s' FROM sessions
=== casts of answers
SELECT avg(age)::numeric(6,2), avg(age)::int, trunc(avg(age), 1) FROM users
=== parameters | $1 int4 = 2 | $2 numeric = 0.5
SELECT sum(whole * $1), sum(price * $2) FROM things
=== a bound parameter | $1 int4 = 300
SELECT sum(order_id) FROM sales.orders WHERE order_id > 0 AND order_id <= $1
