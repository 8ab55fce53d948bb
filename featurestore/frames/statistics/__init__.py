"""Profiles of features, drift, aggregates over calendar buckets."""
