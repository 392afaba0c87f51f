"""Storage: files behind URLs are found, read in parts, and written completely or not at all."""
