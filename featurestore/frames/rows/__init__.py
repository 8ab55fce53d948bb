"""A batch's rows: conformed, validated, rejected, suppressed, found by entity."""
