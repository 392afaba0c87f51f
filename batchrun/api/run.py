"""`run` and `arun`, as Python programs call them."""

from batchrun.engine.runner import arun, run

__all__ = ["arun", "run"]
