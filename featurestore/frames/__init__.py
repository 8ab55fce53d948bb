"""Pure functions on Spark DataFrames: no files, no session, no clock."""
