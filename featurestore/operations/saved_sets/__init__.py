"""Load and compare saved training sets, by Spark or without it."""
