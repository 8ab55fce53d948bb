"""Definitions together: read from YAML, sorted by kind, and in the order in which they read each other."""
