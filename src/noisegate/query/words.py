"""Words that PostgreSQL's deparse uses: names of aggregates, and keywords that are never names unless quoted."""

ANSWERED_AGGREGATES = frozenset(
    "count sum avg min max stddev stddev_pop stddev_samp variance var_pop var_samp covar_pop covar_samp corr "
    "regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy bool_and bool_or "
    "every percentile_cont percentile_disc mode".split()
)
OTHER_AGGREGATES = frozenset(
    "bit_and bit_or bit_xor array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg "
    "json_agg_strict jsonb_agg_strict json_object_agg_strict jsonb_object_agg_strict json_object_agg_unique "
    "jsonb_object_agg_unique json_object_agg_unique_strict jsonb_object_agg_unique_strict json_arrayagg "
    "json_objectagg xmlagg range_agg range_intersect_agg any_value rank dense_rank percent_rank cume_dist".split()
)
ROW_AGGREGATES = frozenset(
    "array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg json_agg_strict jsonb_agg_strict "
    "json_arrayagg json_objectagg xmlagg any_value range_agg".split()
)
# pg_get_keywords() without category U: unquoted they are syntax, never a table's or column's name.
QUOTED_KEYWORDS = frozenset(
    "all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case "
    "cast char character check coalesce collate collation column concurrently constraint create cross "
    "current_catalog current_date current_role current_schema current_time current_timestamp current_user dec "
    "decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign "
    "freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect "
    "interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query "
    "json_scalar json_serialize json_table json_value lateral leading least left like limit localtime "
    "localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on "
    "only or order out outer overlaps overlay placing position precision primary real references returning right "
    "row select session_user setof similar smallint some substring symmetric system_user table tablesample then "
    "time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where "
    "window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot "
    "xmlserialize xmltable".split()
)
