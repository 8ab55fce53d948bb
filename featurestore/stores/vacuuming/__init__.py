"""Vacuum a table: remove the files that no version within a horizon needs, without Spark or by it."""
