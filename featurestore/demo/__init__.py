"""The demo, run by `make demo`: the public API on a year of New York flights."""
