"""One class a kind of value: how each route reads it, its rules, its wording. Importing it needs no Spark."""
