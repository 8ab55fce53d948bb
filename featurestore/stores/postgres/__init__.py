"""PostgreSQL with pgvector: servers, connections, roles, tables of vectors."""
