"""The rows of saved training sets as loading and comparing need them, by Spark or without it."""
