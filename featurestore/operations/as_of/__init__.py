"""The as-of join: where it runs, and how it is made there."""
