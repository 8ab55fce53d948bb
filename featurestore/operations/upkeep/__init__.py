"""Optimize, retention, vacuum."""
