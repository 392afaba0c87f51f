"""Requests of `/embeddings`: a text, or several, as vectors. Pure."""

from batchrun.prompts.kinds.shape import CANARY, Asked, Parameters, Shape, texts


def _translated(parameters: Parameters) -> Parameters:
    """Return parameters that ask for base64 unless they say otherwise: it is a quarter as long as numbers in JSON."""
    return {"encoding_format": "base64"} | parameters


SHAPE = Shape(
    asked=(Asked("input", texts, ("prompt", "text")),),
    settings=frozenset(),
    canary={"input": CANARY},
    has_text=False,
    takes_list=True,
    translated=_translated,
)
