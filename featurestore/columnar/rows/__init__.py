"""A batch's rows in Arrow, without Spark: hashed, summarised, recognised by the entities that they are about."""
