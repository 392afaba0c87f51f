"""Carries a job out. The only place where the stages meet."""
