"""Requests of reads, values of one entity, histories, time ranges, aggregates."""
