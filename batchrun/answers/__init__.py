"""What an answer says: text, typed columns, scores. No I/O."""
