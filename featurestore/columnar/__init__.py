"""Pure functions on pandas and Arrow columns, without Spark, that read a user's frames."""
