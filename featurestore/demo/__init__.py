"""What `make demo` runs: the public API on the year's New York flights."""
