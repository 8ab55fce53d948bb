"""Feature values of one entity as of an instant: stored values, and windowed features."""
