"""Requests of reads, histories, time ranges, aggregates."""
