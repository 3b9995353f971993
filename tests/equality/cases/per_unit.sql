=== a histogram of activity
SELECT n, count(*) FROM (SELECT user_id, count(*) AS n FROM sessions GROUP BY user_id) s GROUP BY n HAVING count(*) > 1 ORDER BY n
=== a histogram in classes
SELECT least(n, 100) / 10 AS class, count(*) FROM (SELECT user_id, count(*) AS n FROM events GROUP BY user_id) e GROUP BY 1 HAVING count(*) > 1
=== how many have more than ten
SELECT count(*) FROM (SELECT user_id FROM events GROUP BY user_id HAVING count(*) > 10) busy
=== the average of each person's sum
SELECT avg(least(total, 10000)), count(*) FROM (SELECT user_id, sum(duration_s) AS total FROM sessions GROUP BY user_id) s
=== the average of each person's count
SELECT avg(least(n, 500)) FROM (SELECT user_id, count(*) AS n FROM events GROUP BY user_id) e
=== the sum of each person's most
SELECT sum(most), avg(most) FROM (SELECT user_id, max(duration_s) AS most FROM sessions GROUP BY user_id) s
=== each person's average
SELECT round(avg(mean), 2) FROM (SELECT user_id, round(avg(duration_s), 2) AS mean FROM sessions GROUP BY user_id) s
=== sums of a person, by the person's plan
SELECT u.plan, count(*), avg(least(s.total, 20000)) FROM users u JOIN (SELECT user_id, sum(duration_s) AS total FROM sessions GROUP BY user_id) s ON s.user_id = u.id GROUP BY u.plan
=== people without any, counted as zero
SELECT coalesce(s.n, 0) AS n, count(*) FROM users u LEFT JOIN (SELECT user_id, count(*) AS n FROM sessions GROUP BY user_id) s ON s.user_id = u.id
GROUP BY 1 HAVING count(*) > 1 ORDER BY 1
=== a funnel
SELECT count(*) AS people, count(searched) AS searched, count(*) FILTER (WHERE bought > searched) AS bought
FROM (SELECT user_id, min(occurred_at) FILTER (WHERE kind = 'search') AS searched, max(occurred_at) FILTER (WHERE kind = 'purchase') AS bought
      FROM events GROUP BY user_id) f
=== a funnel by device
SELECT d.device, count(*), count(*) FILTER (WHERE f.n > 0)
FROM (SELECT user_id, min(device) AS device FROM sessions GROUP BY user_id) d
LEFT JOIN (SELECT user_id, count(*) AS n FROM events WHERE kind = 'purchase' GROUP BY user_id) f ON f.user_id = d.user_id GROUP BY d.device
=== retention
SELECT extract(year FROM u.signup_date) AS cohort, extract(year FROM e.occurred_at) - extract(year FROM u.signup_date) AS year, count(DISTINCT u.id)
FROM users u JOIN events e ON e.user_id = u.id GROUP BY 1, 2 HAVING count(DISTINCT u.id) > 1 ORDER BY 1, 2
=== first month of each
SELECT first, count(*) FROM (SELECT user_id, date_trunc('month', min(occurred_at)) AS first FROM events GROUP BY user_id) f GROUP BY first HAVING count(*) > 1
=== the first by distinct on
SELECT kind, count(*) FROM (SELECT DISTINCT ON (user_id) user_id, kind FROM events ORDER BY user_id, occurred_at, id) f GROUP BY kind HAVING count(*) > 1
=== the first by lateral
SELECT f.kind, count(*) FROM users u CROSS JOIN LATERAL (SELECT kind FROM events e WHERE e.user_id = u.id ORDER BY e.occurred_at, e.id LIMIT 1) f GROUP BY f.kind HAVING count(*) > 1
=== the first by row number
SELECT kind, count(*) FROM (SELECT kind, row_number() OVER (PARTITION BY user_id ORDER BY occurred_at, id) AS n FROM events) e WHERE n = 1 GROUP BY kind HAVING count(*) > 1
=== the last by row number
SELECT device, count(*), sum(duration_s) FROM (SELECT device, duration_s, row_number() OVER (PARTITION BY user_id ORDER BY started_at DESC, id DESC) AS n FROM sessions) s WHERE n = 1 GROUP BY device
=== the three dearest of each
SELECT count(*), sum(amount) FROM (SELECT amount, row_number() OVER (PARTITION BY user_id ORDER BY amount DESC, id) AS n FROM events WHERE amount IS NOT NULL) e WHERE n <= 3
=== what followed
SELECT kind, after, count(*) FROM (SELECT user_id, kind, lead(kind) OVER (PARTITION BY user_id ORDER BY occurred_at, id) AS after FROM events) e
WHERE kind = 'search' GROUP BY kind, after HAVING count(DISTINCT user_id) > 1
=== days since the one before
SELECT avg(least(gap, 60)), count(gap) FROM (SELECT started_at::date - lag(started_at::date) OVER (PARTITION BY user_id ORDER BY started_at, id) AS gap FROM sessions) s WHERE gap >= 0
=== a running sum
SELECT count(*) FROM (SELECT sum(duration_s) OVER (PARTITION BY user_id ORDER BY started_at, id) AS so_far FROM sessions) s WHERE so_far < 5000
=== a share of one's own total
SELECT count(*) FROM (SELECT duration_s, sum(duration_s) OVER (PARTITION BY user_id) AS total FROM sessions) s WHERE duration_s * 2 > total
=== aggregation twice within a person
SELECT days, count(*) FROM (SELECT user_id, count(*) AS days FROM (SELECT user_id, started_at::date AS day FROM sessions GROUP BY user_id, started_at::date) d GROUP BY user_id) p
GROUP BY days HAVING count(*) > 1
=== groups of a person
SELECT kind, count(*), sum(least(n, 100)) FROM (SELECT user_id, kind, count(*) AS n FROM events GROUP BY user_id, kind) k GROUP BY kind
=== distinct within a person
SELECT kinds, count(*) FROM (SELECT user_id, count(DISTINCT kind) AS kinds FROM events GROUP BY user_id) k GROUP BY kinds HAVING count(*) > 1 ORDER BY kinds
=== all and any within a person
SELECT bought, count(*) FROM (SELECT user_id, bool_or(kind = 'purchase') AS bought FROM events GROUP BY user_id) b GROUP BY bought
=== a common table expression per person
WITH spent AS (SELECT user_id, sum(amount) AS total FROM events WHERE kind = 'purchase' GROUP BY user_id)
SELECT u.plan, count(*), sum(least(s.total, 5000)) FROM spent s JOIN users u ON u.id = s.user_id GROUP BY u.plan
=== a median within a person
SELECT count(*) FROM (SELECT user_id, percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_s) AS middle FROM sessions GROUP BY user_id) m WHERE middle > 300
