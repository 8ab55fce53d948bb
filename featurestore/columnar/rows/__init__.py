"""A batch's rows in Arrow, without Spark: read, checked, hashed, summarised."""
