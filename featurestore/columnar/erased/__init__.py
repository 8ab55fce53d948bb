"""Erased entities in a batch's rows: their texts and hashes, and the rejected rows that are about them."""
