"""Erase entities from every table, file and export of a tenant."""
