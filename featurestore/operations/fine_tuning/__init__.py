"""Make fine-tuning sets: rows joined, made into chat messages, and written as lines."""
