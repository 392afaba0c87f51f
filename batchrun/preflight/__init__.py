"""What a run will be, before it costs anything: rows, tokens, money and time, as far as they can be told."""
