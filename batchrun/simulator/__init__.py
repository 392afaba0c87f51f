"""An OpenAI-compatible server with W&B Inference's limits and errors, for tests and for trials without a key."""

from batchrun.simulator.server import Simulator, serve
from batchrun.simulator.settings import Settings

__all__ = ["Settings", "Simulator", "serve"]
