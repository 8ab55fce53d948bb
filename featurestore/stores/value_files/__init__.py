"""The Parquet files of a group's values, as the as-of kernel reads them."""
