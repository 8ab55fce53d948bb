"""DuckDB's own functions that an expression over one row may call: their result depends on their arguments alone.

All others are refused. Left out on purpose are functions that depend on chance, the clock or the session (``random``,
``now``, ``current_setting``), that reach files or the environment (``read_csv``, ``getenv``), that see many rows
(``sum``, ``row_number``, ``unnest``), that name another function in a text (``list_aggregate``), or whose result is not
promised from one version of DuckDB to the next (``hash``).
"""

from __future__ import annotations

_BY_KIND = {
    "conditional": """
        coalesce if ifnull nullif try greatest least constant_or_null
    """,
    "math": """
        abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees divide even exp
        factorial fdiv floor fmod gamma gcd greatest_common_divisor isfinite isinf isnan lcm least_common_multiple
        lgamma ln log log10 log2 mod multiply nextafter pi pow power radians round round_even sign signbit sin sinh sqrt
        subtract tan tanh trunc xor
    """,
    "text": """
        ascii bit_length chr concat concat_ws contains damerau_levenshtein editdist3 ends_with format hamming instr
        jaccard jaro_similarity jaro_winkler_similarity lcase left left_grapheme len length length_grapheme levenshtein
        lower lpad ltrim md5 mismatches nfc_normalize octet_length ord overlay prefix printf regexp_escape
        regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace repeat replace reverse right
        right_grapheme rpad rtrim sha1 sha256 split split_part starts_with str_split string_split string_split_regex
        string_to_array strip_accents strlen strpos substr substring substring_grapheme suffix to_base to_hex translate
        trim ucase unicode upper url_decode url_encode char_length character_length
    """,
    "time": """
        age century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
        dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us era hour isodow isoyear
        julian last_day make_date make_timestamp make_timestamp_ms make_timestamptz microsecond millennium millisecond
        minute month monthname quarter second strftime strptime time_bucket timezone to_centuries to_days to_decades
        to_hours to_microseconds to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks
        to_years try_strptime week weekday weekofyear year yearweek
    """,
    "list": """
        array_extract array_length array_to_string element_at flatten list_any_value list_append list_avg list_bool_and
        list_bool_or list_concat list_contains list_cosine_distance list_cosine_similarity list_count list_distance
        list_element list_extract list_first list_has list_has_all list_has_any list_indexof list_inner_product
        list_last list_max list_median list_min list_negative_inner_product list_position list_prepend list_product
        list_resize list_reverse list_reverse_sort list_select list_slice list_sort list_stddev_pop list_stddev_samp
        list_sum list_value list_var_pop list_var_samp list_where
    """,
    "json": """
        json_array_length json_contains json_exists json_extract json_extract_string json_keys json_type json_valid
        json_value
    """,
    "others": """
        typeof
    """,
}

ALLOWED = frozenset(name for names in _BY_KIND.values() for name in names.split())

_CLOCK = "it depends on the clock; use the spine's timestamp as an input"
_CHANCE = "it depends on chance"
_SESSION = "it depends on the session"
_MANY_ROWS = "it reads many rows, and an expression reads one; compute it in a feature group"
_REACH = "it reaches outside the row"

WHY_REFUSED = {
    name: why
    for why, names in {
        _CLOCK: "now today current_date current_time current_timestamp current_localtime current_localtimestamp "
        "localtime localtimestamp get_current_time get_current_timestamp transaction_timestamp ago",
        _CHANCE: "random setseed uuid uuidv4 uuidv7 gen_random_uuid",
        _SESSION: "current_setting current_user session_user user current_role current_database current_schema "
        "current_schemas current_catalog current_query current_connection_id getvariable version nextval currval",
        _MANY_ROWS: "sum avg count min max mean median mode stddev stddev_pop stddev_samp variance var_pop var_samp "
        "first last any_value arg_min arg_max count_if string_agg list array_agg quantile quantile_cont quantile_disc "
        "approx_count_distinct approx_quantile bool_and bool_or corr histogram product row_number rank dense_rank lag "
        "lead first_value last_value nth_value ntile unnest range generate_series",
        _REACH: "getenv read_csv read_csv_auto read_parquet parquet_scan read_json read_json_auto read_text read_blob "
        "glob query query_table sleep_ms write_log",
        "its result may differ between versions; use md5 or sha256": "hash",
        "it names another function in a text; call that one, such as list_sum": "list_aggregate list_aggr "
        "array_aggregate array_aggr aggregate",
    }.items()
    for name in names.split()
}

# With fewer arguments, these depend on the current date.
LEAST_ARGUMENTS = {"age": 2}

# The words of sqlglot for types, and those that DuckDB reads.
TYPES = {
    "BOOLEAN": "BOOLEAN",
    "TINYINT": "TINYINT",
    "SMALLINT": "SMALLINT",
    "INT": "INTEGER",
    "BIGINT": "BIGINT",
    "INT128": "HUGEINT",
    "UTINYINT": "UTINYINT",
    "USMALLINT": "USMALLINT",
    "UINT": "UINTEGER",
    "UBIGINT": "UBIGINT",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "DECIMAL": "DECIMAL",
    "TEXT": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPNTZ": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMPTZ",
    "INTERVAL": "INTERVAL",
    "JSON": "JSON",
}
_UNITS = """
    MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR DECADE CENTURY MILLENNIUM
    MICROSECONDS MILLISECONDS SECONDS MINUTES HOURS DAYS WEEKS MONTHS QUARTERS YEARS DECADES CENTURIES
    MILLENNIA DOW ISODOW DOY EPOCH ISOYEAR
"""
UNITS = frozenset(_UNITS.split())
