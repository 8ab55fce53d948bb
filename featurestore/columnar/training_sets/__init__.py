"""A saved training set's rows in Arrow, without Spark: measured, and in the order of their times."""
