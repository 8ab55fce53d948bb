"""Rows of text in Arrow, without Spark: records of CSV files and lines of JSON, with a reason for each bad value."""
