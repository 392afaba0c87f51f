"""The requests of each kind: what of a row is asked, and under which keys of the body. Pure."""
