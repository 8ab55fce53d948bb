"""The leakage audit of a training set: its own joins, its findings."""
