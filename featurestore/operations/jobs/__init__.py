"""Transformations, materialization, backfill."""
