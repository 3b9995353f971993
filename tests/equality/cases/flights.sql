=== all
SELECT count(*), count(DISTINCT tailnum), count(dep_time), count(tailnum) FROM flights
=== carriers
SELECT carrier, count(*) AS n FROM flights GROUP BY carrier ORDER BY n DESC, carrier
=== carriers by name
SELECT a.name, count(*), avg(f.dep_delay) FROM flights f JOIN airlines a ON a.carrier = f.carrier GROUP BY a.name ORDER BY 2 DESC, 1
=== carriers by using
SELECT name, count(*) FROM flights JOIN airlines USING (carrier) GROUP BY name
=== carriers by natural join
SELECT carrier, name, count(*) FROM flights NATURAL JOIN airlines GROUP BY carrier, name
=== delays by month
SELECT month, avg(dep_delay), avg(arr_delay), count(arr_delay) FROM flights GROUP BY month ORDER BY month
=== delays by hour
SELECT hour, round(avg(dep_delay), 1) AS delay FROM flights GROUP BY hour ORDER BY hour
=== cancelled share
SELECT origin, 100.0 * count(*) FILTER (WHERE dep_time IS NULL) / count(*) AS cancelled FROM flights GROUP BY origin
=== destinations
SELECT dest, count(*), sum(distance) FROM flights GROUP BY dest HAVING count(DISTINCT tailnum) > 1
=== destinations with names
SELECT coalesce(p.name, f.dest) AS airport, count(*) FROM flights f LEFT JOIN airports p ON p.faa = f.dest GROUP BY 1 HAVING count(DISTINCT tailnum) > 1
=== destinations without a known airport
SELECT dest, count(*) FROM flights f LEFT JOIN airports p ON p.faa = f.dest WHERE p.faa IS NULL GROUP BY dest
=== both ends
SELECT o.name, d.tzone, count(*) FROM flights f JOIN airports o ON f.origin = o.faa JOIN airports d ON f.dest = d.faa GROUP BY 1, 2 HAVING count(DISTINCT tailnum) > 1
=== pairs
SELECT origin, dest, count(*) AS n FROM flights GROUP BY origin, dest HAVING count(*) > 100 ORDER BY n DESC, 1, 2 LIMIT 10
=== speed
SELECT avg(distance), avg(air_time), sum(distance) * 60.0 / sum(air_time) AS mph FROM flights WHERE air_time IS NOT NULL
=== days
SELECT date_trunc('week', time_hour) AS week, count(*) FROM flights GROUP BY 1 ORDER BY 1
=== weekdays
SELECT extract(isodow FROM time_hour) AS weekday, count(*), avg(dep_delay) FROM flights GROUP BY 1 ORDER BY 1
=== late
SELECT carrier, avg(CASE WHEN arr_delay > 15 THEN 1 ELSE 0 END) AS late FROM flights WHERE arr_delay IS NOT NULL GROUP BY carrier
=== season
SELECT CASE WHEN month IN (12, 1, 2) THEN 'winter' WHEN month BETWEEN 6 AND 8 THEN 'summer' ELSE 'other' END AS season, count(*), sum(air_time) FROM flights GROUP BY 1
=== made up time
SELECT avg(dep_delay - arr_delay) FROM flights
=== distance classes
SELECT distance / 500 * 500 AS miles, count(*), avg(arr_delay) FROM flights GROUP BY 1 HAVING count(DISTINCT tailnum) > 1 ORDER BY 1
=== rank of carriers
SELECT carrier, rank() OVER (ORDER BY avg(dep_delay) DESC) FROM flights GROUP BY carrier
=== months side by side
SELECT origin, count(*) FILTER (WHERE month = 1) AS jan, count(*) FILTER (WHERE month = 7) AS jul FROM flights GROUP BY origin ORDER BY origin
=== aircraft
SELECT manufacturer, count(*), avg(seats), avg(year) FROM planes GROUP BY manufacturer HAVING count(*) > 1
=== aircraft by age
SELECT year / 10 * 10 AS decade, engine, count(*), sum(seats) FROM planes WHERE year IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1
=== per airport of the public table
SELECT tzone, count(*) FROM airports GROUP BY tzone
=== public table with an answer
SELECT a.carrier, a.name, f.n FROM airlines a LEFT JOIN (SELECT carrier, count(DISTINCT tailnum) AS n FROM flights GROUP BY carrier) f USING (carrier) ORDER BY f.n DESC NULLS LAST, a.carrier
=== a day | $1 int4 = 7 | $2 int4 = 13
SELECT count(*), avg(dep_delay) FROM flights WHERE month = $1 AND day = $2
=== early and late | $1 int4 = 600 | $2 int4 = 1200 | $3 text = JFK
SELECT carrier, count(*) FROM flights WHERE sched_dep_time BETWEEN $1 AND $2 AND origin = $3 GROUP BY carrier
=== since a moment | $1 timestamptz = 2013-12-01 00:00:00-05
SELECT count(*), min(n) FROM (SELECT dest, count(*) AS n FROM flights WHERE time_hour >= $1 GROUP BY dest HAVING count(DISTINCT tailnum) > 1) AS d
