"""Events of windowed features in Arrow, without Spark: the columns that are needed, their types, their versions."""
