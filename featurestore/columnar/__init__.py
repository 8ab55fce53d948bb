"""Pure functions on pandas' and Arrow's columns, without Spark: how a user's frames are read."""
