"""Delta tables: create, append, read; their logs and files."""
