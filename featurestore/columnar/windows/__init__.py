"""Windowed features, in NumPy and Arrow: aggregates of the events in each spine row's own window, without Spark."""
