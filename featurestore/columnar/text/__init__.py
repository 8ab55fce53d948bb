"""Rows of text in Arrow, without Spark: CSV records and JSON lines, read with reasons for bad values, and written."""
