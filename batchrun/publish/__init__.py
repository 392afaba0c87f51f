"""Shows a run to other systems: Weave, W&B, uploads, a dataset card."""
