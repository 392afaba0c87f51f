"""Tells people how a run goes and how it went."""
