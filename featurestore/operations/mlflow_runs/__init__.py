"""Training sets in runs of MLflow: recorded as inputs, and found again."""
