"""A batch's rows in Arrow, without Spark: read, checked, hashed, summarised, and put as the table stores them."""
