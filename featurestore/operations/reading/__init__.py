"""The as-of join, values of one entity, histories, time ranges, aggregates."""
