"""The as-of kernel, in NumPy and Arrow: the latest values at or before each spine row's time, from sorted files."""
