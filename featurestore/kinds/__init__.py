"""One class a kind of value: how each route reads it, its rules, its wording; nothing here needs Spark to be imported."""
