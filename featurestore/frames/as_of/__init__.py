"""The as-of join: spine, keys, candidates, the join itself."""
