"""Delta tables, by Spark and by delta-rs: create, append, read; their logs, files and locks."""
