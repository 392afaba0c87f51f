"""The calls of Python programs and notebooks: data in, a run, its answers as tables."""
