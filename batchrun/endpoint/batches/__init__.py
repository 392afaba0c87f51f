"""Batches: files of requests that a provider answers within a day. What is sent, and what comes back."""
