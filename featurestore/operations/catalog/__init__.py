"""The catalogue's model, how it is read, and lineage."""
