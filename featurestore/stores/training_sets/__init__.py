"""Saved training sets: rows, manifests, fine-tuning shards."""
