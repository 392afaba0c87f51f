"""Admits, judges and retries requests, and finds the limit."""
