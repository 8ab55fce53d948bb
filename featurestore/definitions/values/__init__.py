"""Feature types, bounds, durations, instants and windows: the values that definitions hold."""
