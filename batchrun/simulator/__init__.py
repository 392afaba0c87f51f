"""An OpenAI-compatible server with W&B Inference's limits and errors, for tests and for trying things out."""

from batchrun.simulator.server import Simulator, serve
from batchrun.simulator.settings import Settings

__all__ = ["Settings", "Simulator", "serve"]
