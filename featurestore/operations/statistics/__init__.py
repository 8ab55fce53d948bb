"""Profiles, drift, totals of a store, metrics."""
