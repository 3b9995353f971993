=== aircraft and their flights
SELECT p.engines, count(*) FROM flights f JOIN planes p ON p.tailnum = f.tailnum GROUP BY p.engines HAVING count(DISTINCT f.tailnum) > 1
=== using
SELECT manufacturer, count(*), avg(distance) FROM flights JOIN planes USING (tailnum) GROUP BY manufacturer HAVING count(DISTINCT tailnum) > 1
=== with two public tables
SELECT a.name, p.type, count(*) FROM flights f JOIN planes p USING (tailnum) JOIN airlines a ON a.carrier = f.carrier JOIN airports o ON o.faa = f.origin
GROUP BY a.name, p.type HAVING count(DISTINCT f.tailnum) > 1
=== aircraft that are not known
SELECT f.carrier, count(*) FROM flights f LEFT JOIN planes p ON p.tailnum = f.tailnum WHERE p.tailnum IS NULL GROUP BY f.carrier
=== seats flown
SELECT f.origin, sum(p.seats), sum(p.seats * f.hour) FROM flights f JOIN planes p ON f.tailnum = p.tailnum GROUP BY f.origin
=== flights of each aircraft
SELECT least(n, 100) / 5 AS class, count(*) FROM (SELECT tailnum, count(*) AS n FROM flights GROUP BY tailnum) x GROUP BY 1 HAVING count(*) > 1
=== carriers of each aircraft
SELECT carriers, count(*) FROM (SELECT tailnum, count(DISTINCT carrier) AS carriers FROM flights WHERE tailnum IS NOT NULL GROUP BY tailnum) x GROUP BY carriers HAVING count(*) > 1
=== the first flight of each aircraft
SELECT origin, count(*) FROM (SELECT DISTINCT ON (tailnum) tailnum, origin FROM flights ORDER BY tailnum, time_hour, sched_dep_time, carrier, origin) x GROUP BY origin
=== aircraft never seen
SELECT p.engine, count(*) FROM planes p WHERE NOT EXISTS (SELECT FROM flights f WHERE f.tailnum = p.tailnum) GROUP BY p.engine HAVING count(*) > 1
=== median delay
SELECT origin, percentile_disc(0.5) WITHIN GROUP (ORDER BY day) FROM flights GROUP BY origin
=== late more than the mean
SELECT carrier, count(*) FROM flights WHERE dep_delay > (SELECT avg(dep_delay) FROM flights) GROUP BY carrier
=== to western airports
SELECT carrier, count(*) FROM flights WHERE dest IN (SELECT faa FROM airports WHERE lon < -100) GROUP BY carrier
=== every airline
SELECT a.carrier, count(f.tailnum) FROM airlines a LEFT JOIN flights f ON f.carrier = a.carrier GROUP BY a.carrier ORDER BY a.carrier
=== rollup of months
SELECT origin, month, count(*) FROM flights GROUP BY ROLLUP (origin, month)
=== deviation of delays
SELECT origin, round(stddev_pop(arr_delay), 6) FROM flights GROUP BY origin
=== correlation of delays
SELECT round(corr(dep_delay, arr_delay)::numeric, 6) FROM flights
