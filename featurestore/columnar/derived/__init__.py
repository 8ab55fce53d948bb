"""Derived features computed on Arrow columns: by an expression or a Python function, in the declared type."""
