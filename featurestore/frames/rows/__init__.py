"""A batch's rows: conform, validate, reject and suppress them, and find them by entity."""
