"""`[model]`: who is asked, what for, and with which parameters."""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Any

from batchrun.job.fallback import named_fallbacks, stated_fallback
from batchrun.job.field_types import OptionalTables, OptionalTexts, TextOrTable, Texts
from batchrun.job.settings import (
    Section,
    alias,
    flag,
    flag_or,
    number,
    one_of,
    refuse_path,
    setting,
    table,
    texts,
    whole,
)
from batchrun.records import PATHS, RequestKind

MOST_SAMPLES = 128
"""Most samples that one request may ask for. Source: OpenAI's reference, `n`."""


def _tools(value: Any) -> tuple[dict[str, Any], ...]:
    """Accept a list of tools in OpenAI's form."""
    refuse_path(value)
    is_list = isinstance(value, list | tuple) and bool(value)
    if not is_list or not all(isinstance(each, Mapping) and "type" in each for each in value):
        raise ValueError('must be a list of tables, each with a type, such as {type = "function", function = {…}}')
    return tuple(dict(each) for each in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Section):
    """`[model]`: the models and their parameters. Every other key is passed through to the body of the requests."""

    names: Texts = setting((), "list of models; `name` sets a single one", texts)
    name: InitVar[str | None] = alias("names")
    kind: RequestKind = setting(
        "chat",
        f"what is asked: {', '.join(PATHS)}; the lines of a batch file name it by their url",
        one_of(*PATHS),
    )
    fallback: TextOrTable = setting(
        dict,
        "model that is asked, once, for a row that its model fails for the row's own reason: a name, or a table of the"
        " model and its fallback",
        stated_fallback,
        shown="–",
    )
    temperature: float | None = setting(None, "sampling temperature, 0 to 2", number(at_least=0, at_most=2))
    max_tokens: int | None = setting(None, "most tokens in an answer", whole(1))
    top_p: float | None = setting(None, "nucleus sampling, 0 to 1", number(at_least=0, at_most=1))
    seed: int | None = setting(None, "seed for the endpoint's sampling; sample k gets seed + k", whole(0))
    tools: OptionalTables = setting(None, "functions that the model may call: a JSON file, or a list of tables", _tools)
    logprobs: bool | None = setting(
        None, "ask for the log probability of each token; they become a column of the results", flag
    )
    top_logprobs: int | None = setting(None, "how many alternatives to each token, with `logprobs`", whole(0))
    stop: OptionalTexts = setting(None, "text, or list of texts, at which an answer ends", texts)
    num_samples: int = setting(1, "answers per prompt and model; each is one output row", whole(1, 65_536))
    samples_per_request: int = setting(
        1, "most samples of a row that one request asks for, by `n`; for endpoints that know it", whole(1, MOST_SAMPLES)
    )
    rows_per_request: int = setting(1, "most rows that travel in one request; only for embeddings", whole(1, 2_048))
    stream: bool | str = setting(
        False,
        'receive answers as server-sent events; "auto" does so for reasoning models, known by their names',
        flag_or("auto"),
    )
    extra_body: dict[str, Any] = setting(dict, "more keys for the body, passed through unchecked", table, shown="{}")

    def __post_init__(self, name: str | None) -> None:
        super(Model, self).__post_init__(name)
        object.__setattr__(self, "fallback", named_fallbacks(self.fallback, self.names))

    def parameters(self) -> dict[str, Any]:
        """Return the keys of the body that this section sets, without `model`."""
        names = ("temperature", "max_tokens", "top_p", "seed", "stop", "tools", "logprobs", "top_logprobs")
        own = {name: getattr(self, name) for name in names}
        return {name: value for name, value in own.items() if value is not None} | self.extra_body
