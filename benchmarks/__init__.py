"""Benchmarks against peers on the same rows; see README.md."""
