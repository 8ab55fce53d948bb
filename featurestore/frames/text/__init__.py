"""Rows as text: CSV cells, JSON lines, chat messages."""
