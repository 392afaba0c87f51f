"""The answers to each kind of request: whether a reply is one, its parts, its usage. Pure."""
