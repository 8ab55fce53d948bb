"""Sync embeddings to PostgreSQL; search for similar ones."""
