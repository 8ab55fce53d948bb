"""Expressions over one row's columns, evaluated by DuckDB in Arrow: their types, their values, the row that fails."""
