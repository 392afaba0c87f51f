"""The keyword arguments of `answer`, for type checkers and completion. Generated from the sections of a job.

`python tests/harness/reference.py` writes this file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from batchrun.job.sections import Price
from batchrun.job.settings import Section
from batchrun.report.bar import Progress


class Settings(TypedDict, total=False):
    """The settings of the job file by their names, whole sections, keys of the body, and how to run."""

    simulate: bool
    """run against the embedded simulator: no key, no cost"""
    retry_failed: bool
    """send failed rows again"""
    restart: bool
    """start over; the old checkpoint is kept under another name"""
    agree: bool | Callable[[str], bool]
    """whether to buy answers again because the job was edited, and to start a job above a cap"""
    progress: bool | Progress
    """whether to show the progress"""
    scorer: str | Callable[[dict[str, Any]], Any] | None
    """the name of a scorer, or a function that gets a row of the results as a dict and returns a number"""
    prices: Mapping[str, Price | Mapping[str, float]]
    """price of each model; it replaces the built-in price"""
    endpoints: Mapping[str, Section | Mapping[str, Any]]
    """`[endpoints.NAME]`: several services, instead of `endpoint`"""
    include_failed: bool
    """of a run: use its failed rows too"""
    encoding: str | None
    """encoding of CSV, JSON and text files"""
    id: str | None
    """column with a label for each row; it becomes `custom_id`"""
    where: str | None
    """use only rows that meet a condition: a Jinja expression over the columns, such as stars > 3"""
    sample: int | None
    """use only N rows, chosen at random from all; a later run with more of them, or all, continues"""
    sample_seed: int
    """seed of the sample, and of the random order"""
    limit: int | None
    """use only the first N rows; a later run with a higher limit continues"""
    dedupe: bool
    """send identical requests once and copy the answer to the other rows, with 0 attempts and at no cost"""
    reuse: str | Sequence[str]
    """run directories whose answers are taken, at no cost, for requests that are the same, to the same model at the
    same endpoint"""
    order: str
    """order of sending: input, random, or prefix to send prompts with the same beginning together, for the
    endpoint's cache"""
    system: str | None
    """template of the system message"""
    messages: Sequence[Any] | None
    """templates of all messages, instead of `user`; the string `{{ messages }}` stands for the row's own"""
    examples: Sequence[Mapping[str, Any]] | None
    """solved rows that are sent before each row as earlier turns: a file of JSON Lines, or tables"""
    num_examples: int | None
    """how many of them are sent with a row"""
    example_seed: int | None
    """draw them at random for each row, with this seed"""
    example_answer: str | None
    """template of the answer of an example"""
    images: str | None
    """column of images to send with the text: a URL, a path or bytes, or a list of these"""
    files: str | None
    """column of PDF files, sounds, videos or images to send with the text, in the same ways"""
    kind: Any
    """what is asked: chat, completions, responses, embeddings, rerank, score; the lines of a batch file name it by
    their url"""
    fallback: Mapping[str, Any]
    """model that is asked, once, for a row that its model fails for the row's own reason: a name, or a table of the
    model and its fallback"""
    temperature: float | None
    """sampling temperature, 0 to 2"""
    max_tokens: int | None
    """most tokens in an answer"""
    top_p: float | None
    """nucleus sampling, 0 to 1"""
    seed: int | None
    """seed for the endpoint's sampling; sample k gets seed + k"""
    tools: Sequence[Mapping[str, Any]] | None
    """functions that the model may call: a JSON file, or a list of tables"""
    logprobs: bool | None
    """ask for the log probability of each token; they become a column of the results"""
    top_logprobs: int | None
    """how many alternatives to each token, with `logprobs`"""
    stop: str | Sequence[str] | None
    """text, or list of texts, at which an answer ends"""
    num_samples: int
    """answers per prompt and model; each is one output row"""
    samples_per_request: int
    """most samples of a row that one request asks for, by `n`; for endpoints that know it"""
    rows_per_request: int
    """most rows that travel in one request; only for embeddings"""
    stream: bool | str
    """receive answers as server-sent events; "auto" does so for reasoning models, known by their names"""
    extra_body: Mapping[str, Any]
    """more keys for the body, passed through unchecked"""
    provider: str
    """wandb, openai or custom"""
    base_url: str | Sequence[str]
    """URL up to and including /v1"""
    project: str | None
    """TEAM/PROJECT to which W&B books the usage"""
    api_key_env: str | None
    """environment variable with the key"""
    headers: Mapping[str, Any]
    """more headers: a text, or `{env = "VARIABLE"}` for a secret; a secret one takes the place of the key, unless
    `api_key_env` is set"""
    query: Mapping[str, Any]
    """what is added to each URL, such as `{api-version = "preview"}`"""
    allow_http: bool
    """send the key over http to other hosts"""
    via: str
    """requests, or batch: files of requests that the provider answers within 24 hours, for about half the price"""
    batch_requests: int | None
    """most requests in one batch"""
    max_concurrency: int
    """most requests in flight; the run finds the endpoint's own limit below this"""
    requests_per_minute: int | None
    """most requests per minute"""
    tokens_per_minute: int | None
    """most tokens per minute, sent and received"""
    max_attempts: int
    """most attempts for a row that fails while others succeed"""
    timeout_s: float
    """longest time for an attempt, in seconds; for a stream, from one piece to the next"""
    connect_timeout_s: float
    """longest time to open a connection, in seconds"""
    max_cost_usd: float | None
    """most USD that the job may cost, over all executions"""
    max_tokens_total: int | None
    """most tokens that the job may use, sent and received, over all executions"""
    stop_at: str | None
    """time of day (HH:MM) at which to drain and stop"""
    rest_by: str | None
    """time of day (HH:MM) at which what no batch has answered is sent as ordinary requests"""
    max_duration: float | str | None
    """time of sending after which to drain and stop, such as 8h"""
    patience: float | str | None
    """longest outage to wait for"""
    keep: str | Sequence[str] | None
    """columns of the input to keep in the results"""
    upload: str | None
    """folder to which the results are uploaded at the end: s3://, gs://, az:// or hf://datasets/USER/NAME"""
    mode: str
    """how the schema is sent: json_schema, json_object, or none if only the prompt describes it"""
    name: str | None
    """name under which the schema is sent"""
    repair_attempts: int
    """how often to ask again for an answer that does not fit, with a message that names the problem"""
    target: str | None
    """column with the right answer"""
    pattern: str | None
    """for regex: the first group, or the whole first match, is compared"""
    field: str | None
    """for json_field: the property of the answer that is compared"""
    scorers: Mapping[str, Any]
    """more scorers, each with a column `score_NAME`: a list of names, or a table NAME → scorer, or NAME → table with
    `scorer`, `pattern`, `field`, `target`"""
    by: str | None
    """column of the input whose values are groups; each group gets scores too"""
    vote: str | None
    """what the answers to a prompt vote on: a property of the schema, `response`, or `prediction` (what the scorer
    finds); adds the columns `vote` and `vote_share`, and Krippendorff's alpha"""
    weave: str | None
    """TEAM/PROJECT in W&B Weave; gets calls, evaluations and a leaderboard when the run ends"""
    wandb: str | None
    """TEAM/PROJECT in W&B; gets live metrics, and at the end results.parquet and report.html"""
    input: Section | Mapping[str, Any]
    """`[input]`: the rows."""
    endpoint: Section | Mapping[str, Any]
    """`[endpoint]`, or `[endpoints.NAME]` where there are several: the service. It never holds a key or a secret."""
    limits: Section | Mapping[str, Any]
    """`[limits]`: ceilings that the run never exceeds, and how long it waits."""
    output: Section | Mapping[str, Any]
    """`[output]`: the run directory, and what its results contain."""
    response: Section | Mapping[str, Any]
    """`[response]`: the form that every answer must have."""
    evaluate: Section | Mapping[str, Any]
    """`[evaluate]`: how answers are scored. Nothing is sent for it, and it costs nothing."""
    judge: Section | Mapping[str, Any]
    """`[judge]`: a model that judges every answer. It is asked when the answers are there, in a run in RUN/judge."""
    publish: Section | Mapping[str, Any]
    """`[publish]`: other systems that show the run. A problem there never harms the run itself."""
    notify: Section | Mapping[str, Any]
    """`[notify]`: messages about the run, by mail, Slack, ntfy, a webhook or any other service that Apprise knows."""
    engine: Section | Mapping[str, Any]
    """`[engine]`: where requests are sent from: this process, or the workers of a Ray cluster."""
    frequency_penalty: Any
    """a key of the request's body, sent as it is"""
    presence_penalty: Any
    """a key of the request's body, sent as it is"""
    logit_bias: Any
    """a key of the request's body, sent as it is"""
    response_format: Any
    """a key of the request's body, sent as it is"""
    functions: Any
    """a key of the request's body, sent as it is"""
    function_call: Any
    """a key of the request's body, sent as it is"""
    tool_choice: Any
    """a key of the request's body, sent as it is"""
    chat_template_kwargs: Any
    """a key of the request's body, sent as it is"""
    cache_salt: Any
    """a key of the request's body, sent as it is"""
    max_completion_tokens: Any
    """a key of the request's body, sent as it is"""
    reasoning_effort: Any
    """a key of the request's body, sent as it is"""
    parallel_tool_calls: Any
    """a key of the request's body, sent as it is"""
    top_k: Any
    """a key of the request's body, sent as it is"""
    min_p: Any
    """a key of the request's body, sent as it is"""
    repetition_penalty: Any
    """a key of the request's body, sent as it is"""
    service_tier: Any
    """a key of the request's body, sent as it is"""
