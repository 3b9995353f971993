=== months
SELECT date_trunc('month', occurred_at) AS month, count(*) FROM events GROUP BY 1 ORDER BY 1
=== weeks of a timestamp
SELECT date_trunc('week', seen) AS week, count(*) FROM things GROUP BY week ORDER BY week
=== months of a date
SELECT date_trunc('month', signup_date) AS month, count(*) FROM users GROUP BY 1 ORDER BY 1
=== months as dates
SELECT date_trunc('month', signup_date)::date AS month, count(*) FROM users GROUP BY 1 ORDER BY 1
=== hours
SELECT date_trunc('hour', moment) AS hour, count(*) FROM things GROUP BY 1
=== in a zone
SELECT date_trunc('day', occurred_at, 'Asia/Tokyo') AS day, count(*) FROM events GROUP BY 1 HAVING count(DISTINCT user_id) > 1
=== at a time zone
SELECT date_trunc('day', occurred_at AT TIME ZONE 'UTC') AS day, count(*) FROM events GROUP BY 1 HAVING count(DISTINCT user_id) > 1
=== days as dates
SELECT occurred_at::date AS day, count(*) AS n, count(DISTINCT user_id) AS people FROM events GROUP BY 1 HAVING count(DISTINCT user_id) > 1 ORDER BY 1
=== cast spelled out
SELECT CAST(occurred_at AS date) AS day, count(*) FROM events GROUP BY CAST(occurred_at AS date) HAVING count(DISTINCT user_id) > 1
=== parts
SELECT extract(year FROM signup_date) AS y, extract(quarter FROM signup_date) AS q, count(*) FROM users GROUP BY 1, 2
=== parts as numbers
SELECT date_part('month', occurred_at) AS m, date_part('dow', occurred_at) AS d, count(*) FROM events GROUP BY 1, 2 HAVING count(DISTINCT user_id) > 1
=== parts cast
SELECT extract(hour FROM occurred_at)::int AS h, count(*) FROM events GROUP BY 1 HAVING count(DISTINCT user_id) > 1 ORDER BY 1
=== all parts of a timestamp
SELECT extract(doy FROM seen) AS a, extract(isodow FROM seen) AS b, extract(week FROM seen) AS c, extract(isoyear FROM seen) AS d,
       extract(minute FROM seen) AS e, extract(second FROM seen) AS f, count(*) FROM things GROUP BY 1, 2, 3, 4, 5, 6
=== parts of a moment
SELECT extract(milliseconds FROM moment) AS a, extract(epoch FROM moment) AS b, count(*) FROM things GROUP BY 1, 2
=== parts of a time
SELECT extract(hour FROM clock) AS h, extract(minute FROM clock) AS m, count(*) FROM things GROUP BY 1, 2
=== differences
SELECT date '2024-03-10' - born AS age, count(*) FROM things GROUP BY 1 ORDER BY 1
=== sums of dates
SELECT born + 7 AS later, born + interval '1 month' AS month, count(*) FROM things GROUP BY 1, 2
=== a date and a case
SELECT CASE WHEN signup_date < '2023-01-01' THEN 'before' ELSE extract(year FROM signup_date)::text END AS era, count(*) FROM users GROUP BY 1
=== formats of keys
SELECT to_char(date_trunc('month', signup_date), 'YYYY-MM') AS month, count(*) FROM users GROUP BY date_trunc('month', signup_date)
=== running total by month
SELECT month, sum(n) OVER (ORDER BY month) AS total
FROM (SELECT date_trunc('month', signup_date) AS month, count(*) AS n FROM users GROUP BY 1) AS m ORDER BY month
=== last thirty days of the data | $1 date = 2024-12-31
SELECT occurred_at::date AS day, count(*) FROM events WHERE occurred_at >= $1 - 30 GROUP BY 1 HAVING count(DISTINCT user_id) > 1 ORDER BY 1
=== since a moment of long ago
SELECT count(*) FILTER (WHERE occurred_at >= now() - interval '10 years') FROM events
