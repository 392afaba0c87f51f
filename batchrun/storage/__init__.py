"""Storage: files that are elsewhere, known by URLs: found, read in parts, and written whole or not at all."""
