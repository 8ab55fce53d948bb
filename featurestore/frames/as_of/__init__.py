"""The as-of join: its spine, its keys, its candidates and the join itself."""
