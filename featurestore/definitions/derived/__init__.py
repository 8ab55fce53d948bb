"""Derived features as a user declares them: their inputs, their expression or function, and the order among them."""
