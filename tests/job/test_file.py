"""Job file and flags become a job; an error names file, key, value and cure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.job.file import job_for, load_job
from batchrun.job.sections import Job

INPUT = '[input]\npath = "rows.jsonl"\n'

OWN = "http://127.0.0.1:1/v1"
Load = Callable[..., Job]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a job file and load it."""

    def load(content: str | bytes, overrides: Any = None) -> Job:
        path = tmp_path / "job.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return load_job(path, overrides)

    return load


def message_of(load: Load, content: str | bytes, overrides: Any = None) -> str:
    with pytest.raises(JobError) as caught:
        load(content, overrides)
    return str(caught.value)


def test_the_job_file_of_the_design_loads(load: Load, tmp_path: Path) -> None:
    """Every section of the reference, in one file."""
    job = load(
        """
        [input]
        path = ["reviews.jsonl", "more/*.csv"]
        id = "review_id"
        [prompt]
        system = "You label product reviews."
        user = "Label this review: {{ text }}"
        [model]
        name = "meta-llama/Llama-3.1-8B-Instruct"
        temperature = 0
        max_tokens = 64
        chat_template_kwargs = { enable_thinking = false }
        [endpoint]
        provider = "wandb"
        project = "team/project"
        [limits]
        max_concurrency = 256
        max_cost_usd = 25
        patience = "2h"
        [output]
        dir = "runs/label_reviews"
        keep = ["text"]
        [prices."my/model"]
        input_usd_per_mtok = 0.5
        output_usd_per_mtok = 1
        """
    )
    assert job.input.path == (str(tmp_path / "reviews.jsonl"), str(tmp_path / "more/*.csv"))
    assert job.models == ("meta-llama/Llama-3.1-8B-Instruct",)
    assert job.model.extra_body == {"chat_template_kwargs": {"enable_thinking": False}}
    assert job.model.parameters()["temperature"] == 0
    assert (job.limits.max_cost_usd, job.limits.patience_s) == (25, 7200)
    assert (job.name, job.output.dir, job.output.keep) == ("job", str(tmp_path / "runs/label_reviews"), ("text",))
    assert job.prices["my/model"].output_usd_per_mtok == 1


@pytest.mark.parametrize("path", ["-", "s3://bucket/rows.jsonl", "/abs/rows.jsonl"])
def test_standard_input_urls_and_absolute_paths_are_not_changed(load: Load, path: str) -> None:
    """Only relative paths are resolved against the folder of the job file."""
    assert load(f'[input]\npath = "{path}"').input.path == (path,)


@pytest.mark.parametrize(
    ("written", "directory", "earlier"),
    [
        ("", "jobs/runs/job", "runs/job"),
        ('dir = "out"', "jobs/out", "out"),
        ('dir = "../out"', "out", "../out"),
        ('dir = "/abs/out"', "/abs/out", None),
    ],
)
def test_the_run_directory_is_relative_to_the_job_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, directory: str, earlier: str | None
) -> None:
    """Named from the current directory. The flag is relative to the current directory, whatever the file has."""
    monkeypatch.chdir(tmp_path)
    Path("jobs").mkdir()
    Path("jobs/job.toml").write_text(f"{INPUT}\n[output]\n{written}")
    job = load_job("jobs/job.toml")
    assert str(job.run_directory) == directory
    assert job.earlier_directory == (None if earlier is None else (directory, earlier))
    named = load_job("jobs/job.toml", {("output", "dir"): ("--out", "mine")})
    assert (str(named.run_directory), named.earlier_directory) == ("mine", None)


def test_a_job_file_in_a_linked_folder_has_its_run_next_to_the_folder_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`jobs/..` is not the current directory there, so the path is not made shorter."""
    monkeypatch.chdir(tmp_path)
    Path("project/jobs").mkdir(parents=True)
    Path("jobs").symlink_to("project/jobs")
    Path("jobs/job.toml").write_text(f'{INPUT}\n[output]\ndir = "../out"')
    assert load_job("jobs/job.toml").run_directory.resolve() == tmp_path / "project" / "out"


@pytest.mark.parametrize("at_flag", [True, False])
def test_several_models_in_one_name_are_refused_with_what_to_write(load: Load, at_flag: bool) -> None:
    """As a flag and in the file."""
    text = f"{INPUT}\n[model]\nname = 'm'" if at_flag else f"{INPUT}\n[model]\nname = 'a, b'"
    overrides = {("model", "names"): ("--model", ["a,b"])} if at_flag else {}
    cure = '--model = "a,b"; must be one model; for several: -m a -m b'
    with pytest.raises(JobError, match=cure if at_flag else r'model\.names = "a, b".*names = \["a", "b"\]'):
        load(text, **({"overrides": overrides} if at_flag else {}))


@pytest.mark.parametrize("name", ["out.parquet", "answers.jsonl", "a/b.csv"])
def test_a_run_directory_that_is_named_like_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The message has a name that works. A directory that is there is used."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError) as caught:
        job_for(["in.jsonl"], {("output", "dir"): ("--out", name)})
    better = name.rpartition(".")[0]
    assert f'--out = "{name}"; must be a directory' in str(caught.value)
    assert f"for example {better} for {better}/results.parquet" in str(caught.value)
    Path(name).mkdir(parents=True)
    assert str(job_for(["in.jsonl"], {("output", "dir"): ("--out", name)}).run_directory) == name


def test_a_byte_order_mark_is_accepted(load: Load) -> None:
    """Windows editors write one."""
    assert load(b"\xef\xbb\xbf" + INPUT.encode()).input.path


@pytest.mark.parametrize("key", ["name", "names"])
def test_name_and_names_both_take_one_model_or_several(load: Load, key: str) -> None:
    """People write `name` for one model."""
    assert load(INPUT + f'[model]\n{key} = "a"').models == ("a",)
    assert load(INPUT + f'[model]\n{key} = ["a", "b"]').models == ("a", "b")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("[input", ["is not TOML", "at end of document"]),
        (b"\xff\xfe", ["is not TOML"]),
        ("[imput]\npath='a'", ["[imput] is not a section", "did you mean input?"]),
        (
            "[kitchen]\nx=1",
            [
                "[kitchen] is not a section",
                "known are input, prompt, model, endpoint, limits, output, response, evaluate, judge, publish, notify,",
            ],
        ),
        ("model = 'm'", ["model = 'm'", "must be a section: [model]"]),
        ("[[model]]\nname='m'", ["model = ", "must be a section: [model]"]),
        ("[prompt]\nuser='x'", ["input.path is missing", "name a file"]),
        ("[input]\npath=''", ["input.path = ", "must be a non-empty string"]),
        ("[input]\npath=[]", ["input.path = []", "must be a string or a list of strings"]),
        ("[input]\npath=3", ["input.path = 3", "must be a string or a list of strings"]),
        ("[input]\npth='a'", ["input.pth is unknown", "did you mean path?"]),
        (INPUT + "[limits]\nmax_concurrency = 0", ["limits.max_concurrency = 0", "must be at least 1"]),
        (INPUT + "[limits]\nmax_concurrency = 1000.0", ["limits.max_concurrency = 1000.0", "must be a whole number"]),
        (INPUT + "[limits]\nmax_concurency = 3", ["limits.max_concurency is unknown", "did you mean max_concurrency?"]),
        (INPUT + "[limits]\nmax_duration_s = 3", ["limits.max_duration_s is unknown", "did you mean max_duration?"]),
        (INPUT + "[limits]\nmax_cost = 3", ["limits.max_cost is unknown", "did you mean max_cost_usd?"]),
        (INPUT + "[limits]\npatience = 'long'", ['limits.patience = "long"', "must be a duration such as 8h"]),
        (INPUT + "[limits]\nstop_at = 07:30:00", ["limits.stop_at = 07:30:00", "must be a time of day such as 07:30"]),
        (INPUT + "[model]\nname='a'\nnames=['b']", ["model.name", "both name and names are set; keep one"]),
        (INPUT + "[model]\nnum_samples=true", ["model.num_samples = true", "must be a whole number"]),
        (INPUT + "[model]\ntemperature=3", ["model.temperature = 3", "must be at most 2"]),
        (INPUT + "[model]\nmessages=[]", ["model.messages cannot be set", "they are made from the prompts"]),
        (INPUT + "[model]\nn=2", ["model.n cannot be set", "use model.num_samples"]),
        (INPUT + "[model]\nmodel='m'", ["model.model cannot be set", "use model.names"]),
        (INPUT + "[model.extra_body]\ntop_p=1", ["model.extra_body.top_p cannot be set", "set it there"]),
        (INPUT + "[model]\nextra_body=3", ["model.extra_body = 3", "must be a table"]),
        (INPUT + "[endpoint]\nprovider='azure'", ['endpoint.provider = "azure"', "one of wandb, openai, custom"]),
        (INPUT + "[endpoint]\nprovider='custom'", ["endpoint.base_url = ", "must be given when"]),
        (INPUT + "[endpoint]\nbase_url='http://h/v1'", ['endpoint.base_url = "http://h/v1"', "--allow-http"]),
        (INPUT + "[endpoint]\nbase_url='http://[::1/v1'", ["endpoint.base_url = ", "must be a URL"]),
        (INPUT + "[endpoint]\napi_key='x'", ["endpoint.api_key is unknown", "did you mean api_key_env, the name"]),
        (INPUT + "[output]\nkeep=[]", ["output.keep = []", "must be a string or a list"]),
        (INPUT + "[prices]\nm=3", ['prices."m" = 3', "must be a table with input_usd_per_mtok"]),
        (INPUT + "[prices.m]\ninput=3", ['prices."m".input is unknown', "input_usd_per_mtok"]),
        (INPUT + "[prices.m]\ninput_usd_per_mtok=-1", ['prices."m".input_usd_per_mtok = -1', "at least 0"]),
    ],
)
def test_a_message_names_file_key_value_and_cure(
    load: Load, tmp_path: Path, content: str | bytes, parts: list[str]
) -> None:
    """The reader knows what to change, and where."""
    message = message_of(load, content)
    assert message.startswith(f"{tmp_path / 'job.toml'}: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["nowhere.toml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """Missing, or a folder."""
    with pytest.raises(JobError, match="cannot be read"):
        load_job(tmp_path / name)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
        ("seeds", "seed"),
        ("respons_format", "response_format"),
        ("top_logprob", "top_logprobs"),
        ("tool_choise", "tool_choice"),
    ],
)
def test_a_misspelt_body_key_is_refused_with_the_way_to_force_it(load: Load, typo: str, meant: str) -> None:
    """A typo that is passed through would cost a whole run at the wrong temperature."""
    message = message_of(load, INPUT + f"[model]\n{typo} = 1")
    assert f"model.{typo} is unknown; did you mean {meant}?" in message
    assert "[model.extra_body]" in message
    assert load(INPUT + f"[model.extra_body]\n{typo} = 1").model.extra_body == {typo: 1}


@pytest.mark.parametrize(
    "key",
    [
        "top_k", "min_p", "min_tokens", "repetition_penalty", "length_penalty", "stop_token_ids", "ignore_eos",
        "best_of", "guided_json", "structured_outputs", "include_reasoning", "user", "store", "metadata",
        "service_tier", "verbosity", "modalities", "prediction", "prompt_cache_key", "safety_identifier",
        "web_search_options",
        "cache_salt", "chat_template", "chat_template_kwargs", "response_format", "reasoning_effort", "reasoning",
        "max_completion_tokens", "truncate_prompt_tokens", "skip_special_tokens", "thinking", "cache_prompt",
    ],
)  # fmt: skip
def test_a_key_that_a_server_may_know_is_passed_through(load: Load, key: str) -> None:
    """Real keys of vLLM, llama.cpp and OpenAI are not taken for misspellings of others."""
    assert load(INPUT + f"[model]\n{key} = 1").model.parameters() == {key: 1}


def test_flags_win_over_the_file(load: Load) -> None:
    """For the same setting, and for no other."""
    overrides = {
        ("model", "names"): ("--model", ["b"]),
        ("model", "temperature"): ("--temperature", 1.0),
        ("limits", "patience"): ("--patience", "1h"),
    }
    for name in ("name", "names"):
        content = INPUT + f"[model]\n{name} = 'a'\ntemperature = 0\nseed = 3\n[limits]\npatience = '9h'"
        job = load(content, overrides)
        assert (job.models, job.model.temperature, job.model.seed) == (("b",), 1.0, 3)
        assert job.limits.patience_s == 3600


def test_a_flag_for_what_a_row_may_state_is_remembered(load: Load) -> None:
    """Then it beats the row's value too; of other settings there is nothing to remember."""
    overrides = {
        ("model", "temperature"): ("--temperature", 0.0),
        ("prompt", "system"): ("--system", "x"),
        ("limits", "patience"): ("--patience", "1h"),
    }
    content = INPUT + "[model]\ntemperature = 0.0\nseed = 3"
    assert load(content, overrides).by_flag == ("model.temperature", "prompt.system")
    assert load(content).by_flag == ()
    assert job_for(["-"], overrides).by_flag == ("model.temperature", "prompt.system")


def test_a_wrong_flag_is_named_as_it_was_written(load: Load) -> None:
    """Not by the key of a job file, which does not contain it."""
    overrides = {("limits", "max_duration"): ("--max-duration", "soon")}
    assert message_of(load, INPUT, overrides) == '--max-duration = "soon"; must be a duration such as 8h, 1h30m or 45s'


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["reviews.jsonl.gz"], "reviews"),
        (["/data/reviews.parquet", "more.csv"], "reviews"),
        (["data/"], "data"),
        (["data/part-*.jsonl"], "part-"),
        (["*.jsonl"], "batch"),
        (["."], "batch"),
        (["https://host/in/a.jsonl?Credential=id/2026&Signature=x/y"], "a"),
        (["-"], "stdin"),
    ],
)
def test_a_job_without_a_file_is_named_after_its_input(paths: list[str], name: str) -> None:
    """So that two inputs do not share a run directory."""
    job = job_for(paths, {("model", "names"): ("--model", ["m"])})
    assert (job.name, job.input.path, job.models) == (name, tuple(paths), ("m",))


@pytest.mark.parametrize("settings", ["", 'provider = "openai"', f'base_url = "{OWN}"', 'provider = "wandb"'])
def test_the_base_url_of_the_environment_counts_where_the_job_names_none(
    load: Load, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://host/v1/")
    job = load(INPUT + f"[endpoint]\n{settings}\n")
    assert (job.endpoint.base_url == "https://host/v1") == (OWN not in settings and "wandb" not in settings)


def test_examples_and_tools_are_read_from_files_next_to_the_job(tmp_path: Path) -> None:
    """JSON Lines or one JSON list; what is wrong with a file is named."""
    tool = {"type": "function", "function": {"name": "look"}}
    (tmp_path / "shots.jsonl").write_text('{"q": "a", "answer": "b"}\n\n{"q": "c", "answer": "d"}\n')
    (tmp_path / "tools.json").write_text(json.dumps([tool]))
    path = tmp_path / "job.toml"
    lines = [
        '[prompt]\nuser = "{{ q }}"\nexamples = "shots.jsonl"',
        '[model]\ntools = "tools.json"',
        '[input]\npath = "a"',
    ]
    path.write_text("\n".join(lines))
    job = load_job(path)
    assert job.prompt.examples == ({"q": "a", "answer": "b"}, {"q": "c", "answer": "d"})
    assert job.model.parameters() == {"tools": ({**tool},)}
    (tmp_path / "tools.json").write_text('[{"name": "look"}]')
    with pytest.raises(JobError, match=r"model.tools = .*; must be a list of tables, each with a type"):
        load_job(path)


def test_a_template_flag_takes_the_place_of_the_messages(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('[input]\npath = "a"\n[prompt]\nmessages = [{role = "user", content = "hi"}]')
    flag = {("prompt", "user"): ("--template", "{{ q }}")}
    assert (load_job(path, flag).prompt.user, load_job(path, flag).prompt.messages) == ("{{ q }}", None)
    assert load_job(path).prompt.messages == ({"role": "user", "content": "hi"},)


def test_a_flag_for_ordinary_requests_leaves_out_what_only_batches_have(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(
        '[input]\npath = "in.jsonl"\n[model]\nname = "m"\n[limits]\nrest_by = "06:00"\n'
        '[endpoint]\nbase_url = "https://a.b/v1"\nvia = "batch"\nbatch_requests = 25\n'
    )
    job = load_job(path, {("endpoint", "via"): ("--via", "requests")})
    assert (job.endpoint.via, job.endpoint.batch_requests, job.limits.rest_by) == ("requests", None, None)
    assert load_job(path).endpoint.batch_requests == 25
    with pytest.raises(JobError, match="batch_requests"):
        load_job(path, {("endpoint", "via"): ("", "requests"), ("endpoint", "batch_requests"): ("--batch-requests", 5)})
