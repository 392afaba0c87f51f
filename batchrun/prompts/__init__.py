"""Prompts: input files → rows → prompts → requests, in input order and constant memory."""
