"""Write batches, single values, embeddings of texts, and rejected rows once more."""
