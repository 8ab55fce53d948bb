"""Each entity's newest vectors, similarity, filters, texts to vectors."""
