"""One value of a feature type: how each route reads it, and why it cannot be stored."""
