"""Files of rows that users bring, and files that they take away."""
