"""One class per kind of value: how each route reads it, its rules and its wording. Importing it needs no Spark."""
