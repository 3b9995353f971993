=== a unit through a foreign key
SELECT count(*), sum(l_quantity) FROM lineitem
=== grouped by declared keys
SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), avg(l_quantity), count(*) FROM lineitem GROUP BY 1, 2
=== the chain spelled out
SELECT o_orderpriority, count(*), sum(l_quantity) FROM orders JOIN lineitem ON l_orderkey = o_orderkey GROUP BY o_orderpriority
=== three tables of the chain
SELECT c_mktsegment, count(*), sum(l_extendedprice) FROM customer JOIN orders ON o_custkey = c_custkey JOIN lineitem ON l_orderkey = o_orderkey GROUP BY c_mktsegment
=== the chain by commas
SELECT c_mktsegment, l_shipmode, count(*) FROM customer, orders, lineitem WHERE c_custkey = o_custkey AND o_orderkey = l_orderkey GROUP BY 1, 2
=== one table of the chain
SELECT o_orderpriority, o_orderstatus, count(*) FROM orders GROUP BY 1, 2
=== the unit's own table
SELECT c_mktsegment, count(*), sum(c_acctbal), avg(c_acctbal) FROM customer GROUP BY c_mktsegment
=== with public tables at both ends
SELECT r_name, count(*), sum(l_quantity) FROM lineitem JOIN supplier ON s_suppkey = l_suppkey JOIN nation ON n_nationkey = s_nationkey
JOIN region ON r_regionkey = n_regionkey GROUP BY r_name
=== a public table with a composite key
SELECT count(*), sum(l_quantity) FROM lineitem JOIN partsupp ON ps_partkey = l_partkey AND ps_suppkey = l_suppkey WHERE ps_availqty < l_quantity * 10
=== customers and nations
SELECT n_name, count(*) FROM customer JOIN nation ON n_nationkey = c_nationkey GROUP BY n_name
=== every nation
SELECT n_name, count(c_custkey) FROM nation LEFT JOIN customer ON c_nationkey = n_nationkey AND c_acctbal > 9500 GROUP BY n_name
=== customers without orders
SELECT c_mktsegment, count(*) FROM customer WHERE NOT EXISTS (SELECT FROM orders WHERE o_custkey = c_custkey) GROUP BY c_mktsegment
=== customers in, by their orders
SELECT c_mktsegment, count(*) FROM customer WHERE c_custkey IN (SELECT o_custkey FROM orders WHERE o_orderstatus = 'P') GROUP BY 1
=== orders with a late line
SELECT o_orderpriority, count(*) FROM orders WHERE EXISTS (SELECT FROM lineitem WHERE l_orderkey = o_orderkey AND l_receiptdate > l_commitdate + 60) GROUP BY 1
=== orders in, by their lines
SELECT o_orderpriority, count(*) FROM orders WHERE o_orderkey IN (SELECT l_orderkey FROM lineitem WHERE l_shipmode = 'AIR') GROUP BY 1
=== lines of an order
SELECT lines, count(*) FROM (SELECT o_custkey, o_orderkey, count(*) AS lines FROM orders JOIN lineitem ON l_orderkey = o_orderkey GROUP BY o_custkey, o_orderkey) x GROUP BY lines
=== orders of a customer
SELECT n / 5 AS class, count(*) FROM (SELECT o_custkey, count(*) AS n FROM orders GROUP BY o_custkey) x GROUP BY 1 HAVING count(*) > 1
=== the first order of each
SELECT o_orderpriority, count(*) FROM (SELECT DISTINCT ON (o_custkey) o_custkey, o_orderpriority FROM orders ORDER BY o_custkey, o_orderdate, o_orderkey) x GROUP BY 1
=== the latest order of each
SELECT o_orderstatus, count(*) FROM (SELECT o_orderstatus, row_number() OVER (PARTITION BY o_custkey ORDER BY o_orderdate DESC, o_orderkey) AS n FROM orders) x WHERE n = 1 GROUP BY 1
=== a self-join of orders
SELECT count(*) FROM orders a JOIN orders b ON a.o_custkey = b.o_custkey AND a.o_orderdate < b.o_orderdate AND b.o_orderdate < a.o_orderdate + 30
=== a self-join of lines
SELECT count(*) FROM lineitem a JOIN lineitem b ON a.l_orderkey = b.l_orderkey AND a.l_linenumber < b.l_linenumber AND a.l_shipmode = b.l_shipmode WHERE a.l_shipmode = 'RAIL'
=== a common table expression used twice
WITH late AS (SELECT l_orderkey, l_shipmode FROM lineitem WHERE l_receiptdate > l_commitdate)
SELECT l_shipmode, count(*), (SELECT count(*) FROM late) AS total FROM late GROUP BY l_shipmode
=== orders by year
SELECT extract(year FROM o_orderdate) AS year, o_orderstatus, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2
=== ratio of two sums
SELECT l_shipmode, sum(CASE WHEN l_returnflag = 'R' THEN 1 ELSE 0 END) * 1.0 / count(*) AS share FROM lineitem GROUP BY l_shipmode
=== median quantity
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY l_quantity) FROM lineitem WHERE l_linenumber = 1
=== grouping sets
SELECT l_returnflag, l_linestatus, count(*) FROM lineitem GROUP BY ROLLUP (l_returnflag, l_linestatus)
=== distinct parts
SELECT count(DISTINCT l_linenumber), count(DISTINCT l_shipmode) FROM lineitem
=== above the average balance
SELECT c_mktsegment, count(*) FROM customer WHERE c_acctbal > (SELECT avg(c_acctbal) FROM customer WHERE c_acctbal > 0) GROUP BY c_mktsegment
=== parts by public names
SELECT p_mfgr, count(*), sum(l_quantity) FROM lineitem JOIN part ON p_partkey = l_partkey GROUP BY p_mfgr
=== lines of good suppliers
SELECT l_shipmode, count(*) FROM lineitem WHERE l_suppkey IN (SELECT s_suppkey FROM supplier WHERE s_acctbal > 5000) GROUP BY l_shipmode
=== suppliers used again
WITH used AS (SELECT l_suppkey, sum(l_quantity) AS quantity FROM lineitem GROUP BY l_suppkey)
SELECT s_name, quantity FROM supplier JOIN used ON l_suppkey = s_suppkey WHERE quantity = (SELECT max(quantity) FROM used)
=== count of customers through the chain
SELECT l_shipmode, count(DISTINCT o_custkey) FROM lineitem JOIN orders ON o_orderkey = l_orderkey GROUP BY l_shipmode
=== a parameter | $1 text = BUILDING | $2 date = 1995-03-15
SELECT count(*), sum(l_quantity) FROM customer, orders, lineitem WHERE c_mktsegment = $1 AND c_custkey = o_custkey AND l_orderkey = o_orderkey AND o_orderdate < $2 AND l_shipdate > $2
