"""Stored values in Arrow, without Spark: the latest of several rows, as of an instant, and over a range of time."""
