"""Gets requests answered: the key, the connections, the pool."""
