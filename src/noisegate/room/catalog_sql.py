"""The queries that read a data server's catalog; PostgreSQL 15 and later. All take the same meaning under any
search_path: names of types are written as (schema, name), never through format_type() or casts to regtype.
"""

from __future__ import annotations

from typing import Final

# Facts about one table, ($1 schema, $2 table) -> one jsonb, or no row. All that planning relies on comes from here, so
# that a hash over it is a fingerprint of exactly what was relied on. Newer columns are read through to_jsonb(), which
# simply lacks them on older servers.
#
# A key is a promise about rows only if its index is unique, valid, immediate, over plain NOT NULL columns, without a
# predicate, by the columns' own equality (default operator class, the columns' collation) and no inheritance child can
# hold a second row with the same key. WITHOUT OVERLAPS (indisexclusion) promises something else.
# PostgreSQL 18 sets attnotnull for NOT NULL constraints that are NOT VALID too; these promise nothing of old rows.
FACTS_SQL: Final = """
WITH rel AS (
  SELECT c.oid, c.relkind::text AS kind, c.relrowsecurity AS row_security,
         EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS has_children
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1::text AND c.relname = $2::text
), att AS (
  SELECT a.attnum, a.attname::text AS name, a.atttypid, a.atttypmod, a.attcollation,
         a.attnotnull AND NOT EXISTS (
           SELECT FROM pg_catalog.pg_constraint k
           WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated
         ) AS not_null
  FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped
), columns AS (
  SELECT jsonb_agg(jsonb_build_object(
           'name', att.name, 'type', jsonb_build_array(tn.nspname, t.typname, att.atttypmod),
           'kind', base.typtype, 'array', base.typelem <> 0 AND base.typlen = -1,
           'base', jsonb_build_array(base.nspname, base.typname), 'typmod', base.typmod, 'domain', t.typtype = 'd',
           'labels', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)
                      FROM pg_catalog.pg_enum e WHERE e.enumtypid = base.oid),
           'not_null', att.not_null,
           'collation', CASE WHEN co.collname <> 'default' THEN jsonb_build_array(cn.nspname, co.collname) END,
           'deterministic', coalesce(co.collisdeterministic, true)) ORDER BY att.attnum) AS value
  FROM att
  JOIN pg_catalog.pg_type t ON t.oid = att.atttypid
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_collation co ON co.oid = att.attcollation
  LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
  CROSS JOIN LATERAL (
    WITH RECURSIVE down AS (
      SELECT t.typbasetype AS oid, t.typtypmod AS typmod, 0 AS depth WHERE t.typtype = 'd'
      UNION ALL
      SELECT d.typbasetype, d.typtypmod, down.depth + 1
      FROM down JOIN pg_catalog.pg_type d ON d.oid = down.oid AND d.typtype = 'd'
    )
    SELECT b.oid, b.typtype, b.typelem, b.typlen, b.typname, bn.nspname, down.typmod
    FROM down JOIN pg_catalog.pg_type b ON b.oid = down.oid JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace
    WHERE down.depth = (SELECT max(depth) FROM down)
    UNION ALL
    SELECT t.oid, t.typtype, t.typelem, t.typlen, t.typname, tn.nspname, att.atttypmod WHERE t.typtype <> 'd'
  ) base
), keys AS (
  SELECT jsonb_agg(jsonb_build_object('columns', k.columns, 'primary', k.indisprimary)
                   ORDER BY k.indisprimary DESC, k.columns) AS value
  FROM (
    SELECT x.indisprimary, jsonb_agg(att.name ORDER BY p.n) AS columns
    FROM rel JOIN pg_catalog.pg_index x ON x.indrelid = rel.oid
    CROSS JOIN LATERAL generate_series(0, x.indnkeyatts - 1) AS p(n)
    LEFT JOIN att ON att.attnum = x.indkey[p.n] AND att.not_null AND att.attcollation = x.indcollation[p.n]
    LEFT JOIN pg_catalog.pg_opclass o ON o.oid = x.indclass[p.n] AND o.opcdefault
    WHERE x.indisunique AND x.indisvalid AND x.indisready AND x.indimmediate AND NOT x.indisexclusion
      AND x.indpred IS NULL AND x.indexprs IS NULL AND NOT (rel.kind <> 'p' AND rel.has_children)
    GROUP BY x.indexrelid, x.indisprimary
    HAVING bool_and(att.name IS NOT NULL AND o.oid IS NOT NULL)
  ) k
), foreign_keys AS (
  SELECT jsonb_agg(DISTINCT jsonb_build_object(
           'columns', (SELECT jsonb_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY AS u(num, n)
                       JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num),
           'target', jsonb_build_array(tn.nspname, tc.relname),
           'target_columns', (SELECT jsonb_agg(a.attname ORDER BY u.n)
                              FROM unnest(k.confkey) WITH ORDINALITY AS u(num, n)
                              JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num),
           'validated', k.convalidated AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
                        AND NOT (rel.kind <> 'p' AND rel.has_children)
                        AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g
                                        WHERE g.tgconstraint = k.oid AND g.tgenabled NOT IN ('O', 'A')))) AS value
  FROM rel JOIN pg_catalog.pg_constraint k ON k.conrelid = rel.oid AND k.contype = 'f'
  JOIN pg_catalog.pg_class tc ON tc.oid = k.confrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = tc.relnamespace
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid)
    AND NOT coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
)
SELECT jsonb_build_object(
         'kind', rel.kind, 'row_security', rel.row_security, 'has_children', rel.has_children,
         'columns', coalesce(columns.value, '[]'), 'keys', coalesce(keys.value, '[]'),
         'foreign_keys', coalesce(foreign_keys.value, '[]')) AS facts
FROM rel, columns, keys, foreign_keys
"""

# ($1 schema, $2 table) -> one text, or no row where the table is gone.
FINGERPRINT_SQL: Final = (
    f"SELECT encode(sha256(convert_to(f.facts::text, 'UTF8')), 'hex') AS fingerprint FROM ({FACTS_SQL}) f"
)

# ($1 text[] of schemas, $2 text[] of tables) -> the same for each in order, NULL where the table is gone. For the
# engine's own transaction.
FINGERPRINTS_SQL: Final = (
    "SELECT ("
    + FINGERPRINT_SQL.replace("$1::text", "w.nsp").replace("$2::text", "w.rel")
    + ") FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(nsp, rel, n) ORDER BY w.n"
)

# ($1 schema, $2 table) -> (column or NULL for the table itself, comment).
COMMENTS_SQL: Final = """
SELECT a.attname::text, pg_catalog.obj_description(c.oid, 'pg_class') AS of_table,
       pg_catalog.col_description(c.oid, a.attnum) AS of_column,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_sql
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1::text AND c.relname = $2::text
"""

# ($1 text[] of schemas, $2 text[] of tables, $3 text[] of columns) -> the enums and domains beneath these columns,
# elements of arrays included: (schema, name, kind 'e' or 'd', labels, beneath, not_null, comment, depth).
TYPES_SQL: Final = """
WITH RECURSIVE used AS (
  SELECT a.atttypid AS oid, 0 AS depth
  FROM unnest($1::text[], $2::text[], $3::text[]) AS w(nsp, rel, att)
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.nsp
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.rel
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = w.att AND NOT a.attisdropped
  UNION
  SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, used.depth + 1
  FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid
  WHERE t.typtype = 'd' OR (t.typelem <> 0 AND t.typlen = -1)
)
SELECT n.nspname::text, t.typname::text, t.typtype::text,
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
       t.typnotnull, pg_catalog.obj_description(t.oid, 'pg_type')
FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype IN ('d', 'e') AND n.nspname <> 'pg_catalog'
GROUP BY n.nspname, t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod, t.typnotnull
ORDER BY max(used.depth) DESC, 1, 2
"""

# ($1 schema, $2 view) -> (relkind, definition, comment, [[column, comment] ...]), or no row.
VIEW_SQL: Final = """
SELECT c.relkind::text, CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END,
       pg_catalog.obj_description(c.oid, 'pg_class'),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attname, pg_catalog.col_description(c.oid, a.attnum))
                                  ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = $2::text
"""

# ($1 schema, $2 view) -> what a view's text uses, as the catalog records it (nothing that is PostgreSQL's own):
# (kind, schema, name, column). Constraints are there for GROUP BY by a key; collations have a default.
VIEW_USES_SQL: Final = """
WITH used AS (
  SELECT DISTINCT d.refclassid, d.refobjid, d.refobjsubid
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
  WHERE n.nspname = $1::text AND c.relname = $2::text
    AND NOT (d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid)
)
SELECT 'relation', n.nspname::text, c.relname::text, a.attname::text
FROM used JOIN pg_catalog.pg_class c ON c.oid = used.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = used.refobjsubid AND used.refobjsubid <> 0
WHERE used.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
UNION
SELECT 'type', n.nspname::text, e.typname::text, NULL
FROM used JOIN pg_catalog.pg_type t ON t.oid = used.refobjid
JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN t.typelem <> 0 AND t.typlen = -1 THEN t.typelem ELSE t.oid END
JOIN pg_catalog.pg_namespace n ON n.oid = e.typnamespace
WHERE used.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
UNION
SELECT o.type, '', o.identity, NULL
FROM used CROSS JOIN LATERAL pg_catalog.pg_identify_object(used.refclassid, used.refobjid, 0) o
WHERE used.refclassid NOT IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass,
                              'pg_catalog.pg_constraint'::pg_catalog.regclass,
                              'pg_catalog.pg_collation'::pg_catalog.regclass)
ORDER BY 1, 2, 3, 4
"""

LOCALE_SQL: Final = """
SELECT d.datlocprovider::text, d.datcollate::text, d.datctype::text,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
FROM pg_catalog.pg_database d WHERE d.datname = current_database()
"""

# What decides how values look and what texts mean at the start of a session.
SESSION_SETTINGS_SQL: Final = """
SELECT name, reset_val FROM pg_catalog.pg_settings
WHERE name IN ('TimeZone', 'DateStyle', 'IntervalStyle', 'bytea_output', 'extra_float_digits') ORDER BY name
"""
