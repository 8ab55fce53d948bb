"""A user's pandas and Arrow columns, read exactly: pure functions, without Spark."""
