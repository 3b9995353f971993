=== distinct values
SELECT count(DISTINCT kind), count(DISTINCT feature) FROM events
=== distinct values by key
SELECT plan, count(DISTINCT age) FROM users GROUP BY plan
=== distinct values with a filter
SELECT count(DISTINCT country) FILTER (WHERE plan = 'free'), count(DISTINCT country) FROM users
=== distinct expressions
SELECT count(DISTINCT date_trunc('month', signup_date)), count(DISTINCT age / 10) FROM users
=== sum and average of distinct values
SELECT sum(DISTINCT age), avg(DISTINCT age) FROM users
=== variance
SELECT round(var_pop(age), 6), round(var_samp(age), 6), round(variance(age), 6) FROM users
=== standard deviation
SELECT round(stddev(age), 6), round(stddev_pop(age), 6), round(stddev_samp(age), 4) FROM users
=== standard deviation by key
SELECT device, round(stddev_pop(duration_s), 6), round(avg(duration_s), 6) FROM sessions GROUP BY device
=== covariance and correlation
SELECT round(covar_pop(whole, small)::numeric, 6), round(covar_samp(whole, small)::numeric, 6), round(corr(whole, small)::numeric, 6) FROM things
=== regression
SELECT round(regr_slope(whole, small)::numeric, 6), round(regr_intercept(whole, small)::numeric, 6), regr_count(whole, small), round(regr_avgx(whole, small)::numeric, 6) FROM things
=== more of regression
SELECT round(regr_r2(whole, small)::numeric, 6), round(regr_sxx(whole, small)::numeric, 4), round(regr_syy(whole, small)::numeric, 4), round(regr_sxy(whole, small)::numeric, 4), round(regr_avgy(whole, small)::numeric, 6) FROM things
=== the median
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY age) FROM users
=== the continuous median
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY age) FROM users
=== quartiles
SELECT percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY age) FROM users
=== medians by key
SELECT plan, percentile_disc(0.5) WITHIN GROUP (ORDER BY age) FROM users GROUP BY plan
=== a median with a filter
SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY age) FILTER (WHERE plan = 'free') FROM users
=== mode
SELECT mode() WITHIN GROUP (ORDER BY plan) FROM users
=== modes of values that nobody declared
SELECT mode() WITHIN GROUP (ORDER BY feature), mode() WITHIN GROUP (ORDER BY upper(feature)) FILTER (WHERE kind = 'feature_use') FROM events
=== modes in groups
SELECT kind, count(*), mode() WITHIN GROUP (ORDER BY feature DESC) FROM events GROUP BY kind
=== modes of every type of value
SELECT mode() WITHIN GROUP (ORDER BY small), mode() WITHIN GROUP (ORDER BY price), mode() WITHIN GROUP (ORDER BY ratio), mode() WITHIN GROUP (ORDER BY mass), mode() WITHIN GROUP (ORDER BY code), mode() WITHIN GROUP (ORDER BY tag), mode() WITHIN GROUP (ORDER BY fixed), mode() WITHIN GROUP (ORDER BY born), mode() WITHIN GROUP (ORDER BY clock), mode() WITHIN GROUP (ORDER BY token), mode() WITHIN GROUP (ORDER BY moment), mode() WITHIN GROUP (ORDER BY share / 10) FROM things WHERE user_id IS NOT NULL
=== modes of groups that are read from data
SELECT whole % 5 AS fifth, mode() WITHIN GROUP (ORDER BY small DESC) FROM things WHERE user_id IS NOT NULL GROUP BY 1 ORDER BY 1
=== modes with quoted names, compared
SELECT mode() WITHIN GROUP (ORDER BY "a""b") > 3 AS large, mode() WITHIN GROUP (ORDER BY "Odd Column" COLLATE "C") FROM "Weird Table"
=== least and greatest
SELECT min(age), max(age) FROM users
=== least and greatest by key
SELECT plan, min(age), max(age) FROM users GROUP BY plan
=== least and greatest of dates
SELECT min(born), max(born) FROM things
=== flags together
SELECT bool_and(is_admin), bool_or(is_admin), every(age > 0) FROM users
=== flags by key
SELECT plan, bool_or(is_admin), bool_and(age > 10) FROM users GROUP BY plan
=== width buckets
SELECT width_bucket(age, 0, 100, 10) AS bucket, count(*) FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1
=== width buckets of a list
SELECT width_bucket(age, ARRAY[18, 30, 50, 70]) AS bucket, count(*) FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1
=== rollup
SELECT plan, is_admin, count(*) FROM users GROUP BY ROLLUP (plan, is_admin)
=== cube with grouping
SELECT plan, is_admin, GROUPING(plan, is_admin), count(*) FROM users GROUP BY CUBE (plan, is_admin)
=== grouping sets
SELECT kind, feature, count(*) FROM events GROUP BY GROUPING SETS ((kind), (feature), ()) HAVING count(DISTINCT user_id) > 1
=== grouping sets with sums
SELECT device, sum(duration_s), avg(duration_s), count(*) FROM sessions GROUP BY GROUPING SETS ((device), ())
=== rollup of an expression
SELECT extract(year FROM signup_date) AS year, plan, count(*) FROM users GROUP BY ROLLUP (1, 2) HAVING count(*) > 1 ORDER BY 1, 2
=== a clamp by hand
SELECT sum(least(greatest(order_id, 0), 100)), avg(least(greatest(order_id, 0), 100)) FROM sales.orders
=== roots and powers
SELECT round(sum(round(sqrt(whole::numeric), 2)), 2), sum(power(whole, 2)) FROM things
=== parts of a text
SELECT split_part(note, ' ', 1) AS word, count(*) FROM things GROUP BY 1 HAVING count(DISTINCT user_id) > 1
=== a replaced text
SELECT replace(note, 'a', 'o'), count(*) FROM things GROUP BY 1 HAVING count(DISTINCT user_id) > 1
=== a regular expression
SELECT count(*) FILTER (WHERE note ~ '^[a-z]+'), count(*) FILTER (WHERE note SIMILAR TO 'al%') FROM things
=== a month's name
SELECT to_char(signup_date, 'YYYY-MM') AS month, count(*) FROM users GROUP BY 1 HAVING count(*) > 1 ORDER BY 1
