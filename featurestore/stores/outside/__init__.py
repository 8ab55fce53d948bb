"""A user's own table, Delta or Parquet, where it is: its columns, its pinned state, and one tenant's rows."""
