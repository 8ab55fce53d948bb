"""Spark's own functions that SQL may call: their result depends on their arguments alone, and they reach nothing else.

All others are refused. Left out on purpose are functions that run code (``reflect``), that reveal files, the session or
the plan (``input_file_name``, ``current_user``, ``spark_partition_id``), that depend on chance or the clock (``rand``,
``uuid``, ``now``, ``kll_sketch_agg_*``), or that read a schema or an entity from a file (``from_xml``, ``xpath``,
``from_avro``, ``from_protobuf``). Functions whose result depends on the order of rows (``first``, ``collect_list``) are
allowed: an ORDER BY decides it.
"""

from __future__ import annotations

_BY_KIND = {
    "conditional": """
        between coalesce if ifnull nanvl nullif nullifzero nvl nvl2 zeroifnull
    """,
    "predicate": """
        equal_null ilike isnan isnotnull isnull like regexp regexp_like rlike
    """,
    "math": """
        abs acos acosh asin asinh atan atan2 atanh bin bround cbrt ceil ceiling conv cos cosh cot csc degrees div e
        exp expm1 factorial floor greatest hex hypot least ln log log10 log1p log2 mod negative pi pmod positive pow
        power radians rint round sec sign signum sin sinh sqrt tan tanh try_add try_divide try_mod try_multiply
        try_subtract unhex width_bucket
    """,
    "bitwise": """
        bit_count bit_get getbit shiftleft shiftright shiftrightunsigned
    """,
    "string": """
        ascii base64 bit_length btrim char char_length character_length chr collate collation concat_ws contains
        decode elt encode endswith find_in_set format_number format_string initcap instr is_valid_utf8 lcase left
        len length levenshtein locate lower lpad ltrim luhn_check make_valid_utf8 mask octet_length overlay position
        printf quote regexp_count regexp_extract regexp_extract_all regexp_instr regexp_replace regexp_substr repeat
        replace right rpad rtrim sentences soundex space split split_part startswith substr substring
        substring_index to_binary to_char to_number to_varchar translate trim try_to_binary try_to_number
        try_validate_utf8 ucase unbase64 upper validate_utf8
    """,
    "hash": """
        crc32 hash md5 sha sha1 sha2 xxhash64
    """,
    "url": """
        parse_url try_parse_url try_url_decode url_decode url_encode
    """,
    "datetime": """
        add_months convert_timezone date_add date_diff date_format date_from_unix_date date_part date_sub date_trunc
        dateadd datediff datepart day dayname dayofmonth dayofweek dayofyear from_unixtime from_utc_timestamp hour
        last_day make_date make_dt_interval make_interval make_time make_timestamp make_timestamp_ltz
        make_timestamp_ntz make_ym_interval minute month monthname months_between next_day quarter second
        session_window time_bucket time_diff time_from_micros time_from_millis time_from_seconds time_to_micros
        time_to_millis time_to_seconds time_trunc timestampadd timestampdiff timestamp_micros timestamp_millis
        timestamp_seconds to_date to_time to_timestamp to_timestamp_ltz to_timestamp_ntz to_unix_timestamp
        to_utc_timestamp trunc try_make_interval try_make_timestamp try_make_timestamp_ltz try_make_timestamp_ntz
        try_to_date try_to_time try_to_timestamp unix_date unix_micros unix_millis unix_seconds unix_timestamp weekday
        weekofyear window window_time year
    """,
    "conversion": """
        bigint binary boolean date decimal double float int smallint string time timestamp tinyint
    """,
    "array": """
        array array_append array_compact array_contains array_distinct array_except array_insert array_intersect
        array_join array_max array_min array_position array_prepend array_remove array_repeat array_size array_union
        arrays_overlap arrays_zip flatten get sequence slice sort_array
    """,
    "collection": """
        cardinality concat element_at reverse size try_element_at
    """,
    "higher-order": """
        aggregate array_sort exists filter forall map_filter map_zip_with reduce transform transform_keys
        transform_values zip_with
    """,
    "map": """
        map map_concat map_contains_key map_entries map_from_arrays map_from_entries map_keys map_values str_to_map
    """,
    "struct": """
        named_struct struct
    """,
    "json": """
        from_json get_json_object json_array_length json_object_keys json_tuple schema_of_json to_json
    """,
    "csv": """
        from_csv schema_of_csv to_csv
    """,
    "variant": """
        is_valid_variant is_variant_null parse_json schema_of_variant schema_of_variant_agg to_variant_object
        try_parse_json try_variant_get variant_explode variant_explode_outer variant_get
    """,
    "others": """
        aes_decrypt assert_true raise_error bitmap_bit_position bitmap_bucket_number bitmap_count try_aes_decrypt typeof
    """,
    "aggregates": """
        any any_value approx_count_distinct approx_percentile approx_top_k approx_top_k_accumulate
        approx_top_k_combine array_agg avg bit_and bit_or bit_xor bitmap_and_agg bitmap_construct_agg bitmap_or_agg
        bool_and bool_or collect_list collect_set corr count count_if count_min_sketch covar_pop covar_samp every
        first first_value grouping grouping_id histogram_numeric hll_sketch_agg hll_union_agg kurtosis last
        last_value listagg max max_by mean median min min_by mode percentile percentile_approx percentile_cont
        percentile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
        skewness some std stddev stddev_pop stddev_samp string_agg sum theta_intersection_agg theta_sketch_agg
        theta_union_agg try_avg try_sum var_pop var_samp variance
    """,
    "sketches": """
        approx_top_k_estimate hll_sketch_estimate hll_union theta_difference theta_intersection
        theta_sketch_estimate theta_union
    """,
    "ranks and neighbours in a window": """
        cume_dist dense_rank lag lead nth_value ntile percent_rank rank row_number
    """,
    "vector": """
        vector_avg vector_cosine_similarity vector_inner_product vector_l2_distance vector_norm vector_normalize
        vector_sum
    """,
}

SCALARS_AND_AGGREGATES = frozenset(name for names in _BY_KIND.values() for name in names.split())
GENERATORS = frozenset(
    ("explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "stack", "json_tuple",
     "variant_explode", "variant_explode_outer")
)  # fmt: skip
TABLE_FUNCTIONS = (GENERATORS | {"range"}) - {"json_tuple"}
ALLOWED = SCALARS_AND_AGGREGATES | GENERATORS
OF_MANY_ROWS = (
    frozenset(" ".join(_BY_KIND[kind] for kind in ("aggregates", "ranks and neighbours in a window")).split())
    | GENERATORS
)

# Spark's parser also uses these names for syntax that is not a call: ``EXTRACT(YEAR FROM a)``, ``a BETWEEN 1 AND 2``.
CALLED_BY_SPARK = ALLOWED | TABLE_FUNCTIONS | {"extract"}

# If no table has a column of such a name, Spark reads the name, quoted or not, as the function.
CLOCK_AND_SESSION = frozenset(
    ("current_catalog", "current_database", "current_date", "current_path", "current_schema", "current_time",
     "current_timestamp", "current_user", "localtimestamp", "session_user")
)  # fmt: skip

# Why SQL may not call some of Spark's functions.
WHY_REFUSED = {
    **dict.fromkeys(
        ("curdate", "now", "current_timezone", "user", "version", *CLOCK_AND_SESSION),
        "it depends on when, where and by whom it runs; use :start_time, :end_time or :tenant_id",
    ),
    **dict.fromkeys(
        ("rand", "randn", "random", "randstr", "shuffle", "uniform", "uuid", "monotonically_increasing_id",
         "spark_partition_id"),
        "its result is random; use a hash of the row's key, such as xxhash64(user_id)",
    ),
    **dict.fromkeys(("reflect", "try_reflect", "java_method"), "it runs code outside SQL"),
    **dict.fromkeys(
        ("input_file_name", "input_file_block_start", "input_file_block_length", "from_xml", "schema_of_xml", "xpath",
         "xpath_boolean", "xpath_double", "xpath_float", "xpath_int", "xpath_long", "xpath_number", "xpath_short",
         "xpath_string", "from_avro", "from_protobuf"),
        "it reveals files or can read one",
    ),
}  # fmt: skip

# Functions that take a map of options -> the number of arguments before that map.
OPTIONS_AFTER = {
    "from_json": 2, "from_csv": 2, "to_json": 1, "to_csv": 1, "schema_of_json": 1, "schema_of_csv": 1,
}  # fmt: skip
# Options that only change how a text is read or written, and name nothing outside it.
OPTIONS = frozenset(
    ("allowbackslashescapinganycharacter", "allowcomments", "allownonnumericnumbers", "allownumericleadingzeros",
     "allowsinglequotes", "allowunquotedcontrolchars", "allowunquotedfieldnames", "columnnameofcorruptrecord",
     "dateformat", "delimiter", "emptyvalue", "escape", "header", "ignoreleadingwhitespace", "ignorenullfields",
     "ignoretrailingwhitespace", "linesep", "locale", "maxcharspercolumn", "maxcolumns", "mode", "nanvalue",
     "negativeinf", "nullvalue", "positiveinf", "prefersdecimal", "primitivesasstring", "quote", "quoteall", "sep",
     "timestampformat", "timestampntzformat", "timezone")
)  # fmt: skip

# Functions that take three arguments, the first of which is a unit of time and not a column.
UNIT_FIRST = frozenset(
    ("date_add", "dateadd", "timestampadd", "date_diff", "datediff", "timestampdiff", "time_diff", "time_trunc")
)
UNITS = frozenset(
    ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DAYOFYEAR", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND")
)  # fmt: skip

# Without an argument these return the current time.
NEED_AN_ARGUMENT = frozenset(("unix_timestamp", "to_unix_timestamp"))
