"""Sends a run in batches: plans them, has the provider answer them, collects the answers."""
