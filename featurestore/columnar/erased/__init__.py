"""Erased entities in Arrow, without Spark: as hashes, in rows, and in the texts of rejected rows."""
