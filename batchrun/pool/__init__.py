"""Sends requests: admits, judges, retries. The limit, the verdicts and the waiting are decided here, and only here."""
