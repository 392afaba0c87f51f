"""The job: what to run. Frozen, and checked when it is made; `job.file` reads it from TOML and flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batchrun.job.encodings import encoding_name
from batchrun.job.endpoint import Endpoint
from batchrun.job.engine import Engine
from batchrun.job.evaluate import Evaluate
from batchrun.job.field_types import OptionalSchema, OptionalTexts, PathText, Texts
from batchrun.job.judge import Judge
from batchrun.job.limits import Limits as Limits
from batchrun.job.model import Model as Model
from batchrun.job.notify import Notify
from batchrun.job.price import Price as Price
from batchrun.job.prompt import PromptTemplates
from batchrun.job.schema_form import stated_schema
from batchrun.job.serving import check_endpoints, check_served, plain_name, serving
from batchrun.job.settings import (
    Section,
    SettingError,
    documented,
    flag,
    json_schema,
    one_of,
    setting,
    team_project,
    text,
    texts,
    whole,
)
from batchrun.job.urls import store_url
from batchrun.job.via import check_via


@dataclass(frozen=True, slots=True, kw_only=True)
class Input(Section):
    """`[input]`: the rows."""

    path: Texts = setting((), "file, glob or folder, or a list of these; `-` is standard input", texts)
    run: str | None = setting(None, "run directory whose answers are the rows; instead of `path`", text)
    include_failed: bool = setting(False, "of a run: use its failed rows too", flag)
    encoding: str | None = setting(None, "encoding of CSV, JSON and text files", encoding_name, shown="UTF-8")
    id: str | None = setting(None, "column with a label for each row; it becomes `custom_id`", text)
    where: str | None = setting(
        None, "use only rows that meet a condition: a Jinja expression over the columns, such as stars > 3", text
    )
    sample: int | None = setting(
        None, "use only N rows, chosen at random from all; a later run with more of them, or all, continues", whole(1)
    )
    sample_seed: int = setting(0, "seed of the sample, and of the random order", whole(0))
    limit: int | None = setting(None, "use only the first N rows; a later run with a higher limit continues", whole(1))
    strict: bool = setting(False, "refuse the input if any row is broken", flag)
    dedupe: bool = setting(
        False,
        "send identical requests once and copy the answer to the other rows, with 0 attempts and at no cost",
        flag,
    )
    reuse: Texts = setting(
        (),
        "run directories whose answers are taken, at no cost, for requests that are the same, to the same model at the"
        " same endpoint",
        texts,
    )
    order: str = setting(
        "input",
        "order of sending: input, random, or prefix to send prompts with the same beginning together, for the"
        " endpoint's cache",
        one_of("input", "random", "prefix"),
    )

    def __post_init__(self) -> None:
        super(Input, self).__post_init__()
        if self.run is not None and not self.path:
            object.__setattr__(self, "path", (self.run,))

    @property
    def is_read_first(self) -> bool:
        """Whether much of the input, or all of it, is read before anything is sent."""
        return self.strict or self.sample is not None or self.where is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Section):
    """`[output]`: the run directory, and what its results contain."""

    dir: PathText = setting(
        "",
        "run directory; in a job file relative to the file, as a flag to the current directory",
        text,
        shown="runs/NAME",
    )
    keep: OptionalTexts = setting(None, "columns of the input to keep in the results", texts, shown="all")
    upload: str | None = setting(
        None,
        "folder to which the results are uploaded at the end: s3://, gs://, az:// or hf://datasets/USER/NAME",
        store_url,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Section):
    """`[response]`: the form that every answer must have."""

    schema: OptionalSchema = setting(
        None,
        "JSON Schema of the answers, a file or a table, also in OpenAI's wrapper; its properties become typed columns",
        json_schema,
    )
    mode: str = setting(
        "json_schema",
        "how the schema is sent: json_schema, json_object, or none if only the prompt describes it",
        one_of("json_schema", "json_object", "none"),
    )
    strict: bool | None = setting(
        None,
        "whether the schema is sent with `strict`; an endpoint that refuses it gets the schema without",
        flag,
        shown="for schemas that OpenAI accepts as strict",
    )
    name: str | None = setting(None, "name under which the schema is sent", text, shown="from the schema's title")
    repair_attempts: int = setting(
        2, "how often to ask again for an answer that does not fit, with a message that names the problem", whole(0, 10)
    )

    def __post_init__(self) -> None:
        super(Response, self).__post_init__()
        for key, value in (stated_schema(self.schema)._asdict() if self.schema else {}).items():
            if key == "schema" or getattr(self, key) is None:  # what the job says itself wins over the wrapper
                object.__setattr__(self, key, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Section):
    """`[publish]`: other systems that show the run. A problem there never harms the run itself."""

    weave: str | None = setting(
        None, "TEAM/PROJECT in W&B Weave; gets calls, evaluations and a leaderboard when the run ends", team_project
    )
    wandb: str | None = setting(
        None, "TEAM/PROJECT in W&B; gets live metrics, and at the end results.parquet and report.html", team_project
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run: read by `load_job` or `job_for`, or made in Python from its sections."""

    name: str = "batch"
    """Name of the run directory if `output.dir` is not set."""
    earlier_directory: tuple[str, str] | None = None
    """Run directory as a job file sets it, and where the first releases kept it: relative to the current directory."""
    input: Input
    prompt: PromptTemplates = field(default_factory=PromptTemplates)
    model: Model = field(default_factory=Model)
    endpoint: Endpoint = field(default_factory=Endpoint)
    """The only endpoint, or the first of several."""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    """All endpoints by name, in the order of the job file; the name of an only one is empty."""
    limits: Limits = field(default_factory=Limits)
    output: Output = field(default_factory=Output)
    response: Response = field(default_factory=Response)
    evaluate: Evaluate = field(default_factory=Evaluate)
    judge: Judge = field(default_factory=Judge)
    publish: Publish = field(default_factory=Publish)
    engine: Engine = field(default_factory=Engine)
    notify: Notify = field(default_factory=Notify)
    prices: Mapping[str, Price] = field(default_factory=dict)
    replaced_endpoints: tuple[str, ...] = ()
    """Names of the endpoints of the job file in whose place `--base-url` stands."""
    by_flag: tuple[str, ...] = ()
    """Settings that a flag has set, of those that a row may state too, such as `model.top_p`: they beat the row."""

    def __post_init__(self) -> None:
        if set(self.endpoints) <= {""}:
            object.__setattr__(self, "endpoints", {"": self.endpoint})
        else:
            first = next(iter(self.endpoints.values()))
            if self.endpoint not in (Endpoint(), *self.endpoints.values()):
                raise SettingError("endpoint", self.endpoint.base_url, "must not be set together with endpoints")
            object.__setattr__(self, "endpoint", first)
        prices = {plain_name(name, self.endpoints): price for name, price in self.prices.items()}
        object.__setattr__(self, "prices", prices)
        check_endpoints(self.endpoints, self.models)
        check_served(self.endpoints, self.fallbacks.values(), "model.fallback")
        check_via(self)

    @property
    def models(self) -> tuple[str, ...]:
        """The models, without LiteLLM's prefix, each once; empty when the rows name their own."""
        return tuple(dict.fromkeys(plain_name(name, self.endpoints) for name in self.model.names))

    @property
    def fallbacks(self) -> dict[str, str]:
        """Model → the model that is asked, once, for a row that it fails for the row's own reason; as in `models`."""
        plain = {plain_name(name, self.endpoints): other for name, other in self.model.fallback.items()}
        return {name: plain_name(other, self.endpoints) for name, other in plain.items()}

    @property
    def asked_models(self) -> tuple[str, ...]:
        """All models that may be sent a request: `models`, and the fallbacks."""
        return tuple(dict.fromkeys((*self.models, *self.fallbacks.values())))

    @property
    def has_several_endpoints(self) -> bool:
        """Whether requests go to more than one endpoint, or to one that has a name."""
        return set(self.endpoints) != {""}

    def serving(self, model: str) -> dict[str, str]:
        """Return the endpoints that are asked for a model, by name; each with the model's name there."""
        return serving(self.endpoints, model)

    @property
    def per_row(self) -> int:
        """How many requests an input row becomes: one per model and sample."""
        return max(1, len(self.models)) * self.model.num_samples

    @property
    def run_directory(self) -> Path:
        """The directory of the run."""
        return Path(self.output.dir or default_directory(self.name))

    def to_toml(self, folder: str | Path = ".") -> str:
        """Return the job as the text of a job file; the paths in it are relative to `folder`, where the file will be.

        Raises:
            JobError: the job has a value that TOML cannot hold.
        """
        from batchrun.job.toml_text import job_to_toml

        return job_to_toml(self, folder)


NEXT = "_next"
"""What the name of a run ends with whose input is the run of the same name."""


def default_directory(name: str) -> str:
    """Return the run directory of a job that does not set one."""
    return f"runs/{name}"


SECTIONS: dict[str, type[Section]] = {
    "input": Input,
    "prompt": PromptTemplates,
    "model": Model,
    "endpoint": Endpoint,
    "limits": Limits,
    "output": Output,
    "response": Response,
    "evaluate": Evaluate,
    "judge": Judge,
    "publish": Publish,
    "notify": Notify,
    "engine": Engine,
}

for _kind in (*SECTIONS.values(), Price):
    _kind.__doc__ = documented(_kind)
