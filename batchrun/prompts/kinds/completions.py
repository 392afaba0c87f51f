"""Requests of `/completions`: a base model continues a text. Pure."""

from batchrun.prompts.kinds.shape import CANARY, Asked, Parameters, Shape, text


def _translated(parameters: Parameters) -> Parameters:
    """Return parameters with `logprobs` as a number, which it is here: of alternatives to each token."""
    wanted, top = parameters.get("logprobs"), parameters.get("top_logprobs")
    others = {name: value for name, value in parameters.items() if name not in ("logprobs", "top_logprobs")}
    if wanted is None or wanted is False:
        return others
    return others | {"logprobs": (top or 0) if wanted is True else wanted}


SHAPE = Shape(
    asked=(Asked("prompt", text),),
    settings=frozenset({"temperature", "max_tokens", "top_p", "seed", "stop", "logprobs", "top_logprobs"}),
    canary={"prompt": CANARY, "max_tokens": 1},
    takes_n=True,
    stream=b',"stream":true,"stream_options":{"include_usage":true}',
    translated=_translated,
)
