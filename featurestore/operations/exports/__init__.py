"""Export rows to files in a new folder, which is visible only when complete."""
