"""`[endpoint]`, replicas and `[endpoints.NAME]` of a job file, and the flags over them."""

from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.job.file import load_job
from batchrun.job.sections import Job, Price

HEAD = '[input]\npath = "a.jsonl"\n[model]\nnames = ["m", "n"]\n'

TWO = """
[endpoints.mine]
base_url = "http://127.0.0.1:1/v1"
models = ["m"]
max_concurrency = 4
requests_per_minute = 60
[endpoints.mine.prices."m"]
input_usd_per_mtok = 0.5

[endpoints.azure]
base_url = "https://x.openai.azure.com/openai/v1"
headers = { "api-key" = { env = "AZURE_OPENAI_API_KEY" }, "X-Title" = "t" }
query = { api-version = "preview" }
models = { n = "deployment-n" }
"""


def load(folder: Path, text: str, **flags: Any) -> Job:
    (folder / "job.toml").write_text(HEAD + text, encoding="utf-8")
    return load_job(folder / "job.toml", {("endpoint", key): (f"--{key}", value) for key, value in flags.items()})


def message_of(folder: Path, text: str, **flags: Any) -> str:
    with pytest.raises(JobError) as problem:
        load(folder, text, **flags)
    return str(problem.value).removeprefix(f"{folder / 'job.toml'}: ")


def test_each_table_is_an_endpoint(tmp_path: Path) -> None:
    """With its own limit, rates, prices, headers and names of models."""
    job = load(tmp_path, TWO)
    mine, azure = job.endpoints["mine"], job.endpoints["azure"]
    assert (mine.max_concurrency, mine.requests_per_minute, mine.models) == (4, 60, {"m": "m"})
    assert mine.prices == {"m": Price(input_usd_per_mtok=0.5)}
    assert azure.secret_headers == {"api-key": "AZURE_OPENAI_API_KEY"}
    assert azure.query == {"api-version": "preview"}
    assert (job.serving("m"), job.serving("n")) == ({"mine": "m"}, {"azure": "deployment-n"})


def test_a_job_of_several_endpoints_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = load(tmp_path, TWO)
    (tmp_path / "again.toml").write_text(job.to_toml(tmp_path), encoding="utf-8")
    again = load_job(tmp_path / "again.toml")
    assert again.endpoints == job.endpoints
    assert list(again.endpoints) == ["mine", "azure"]


@pytest.mark.parametrize("as_flag", [True, False])
def test_several_base_urls_are_replicas(as_flag: bool, tmp_path: Path) -> None:
    """They have all other settings in common; a flag replaces the endpoints of the file."""
    urls = ["http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"]
    if as_flag:
        job = load(tmp_path, TWO, base_url=urls, api_key_env="K")
    else:
        job = load(tmp_path, f'[endpoint]\nbase_url = {urls}\napi_key_env = "K"')
    assert {name: each.base_url for name, each in job.endpoints.items()} == {
        "127.0.0.1:1": urls[0],
        "127.0.0.1:2": urls[1],
    }
    assert {each.api_key_env for each in job.endpoints.values()} == {"K"}


def test_the_endpoints_that_a_base_url_replaces_are_known(tmp_path: Path) -> None:
    """So that the run can name them."""
    assert load(tmp_path, TWO, base_url=["http://127.0.0.1:3/v1"]).replaced_endpoints == ("mine", "azure")
    assert load(tmp_path, TWO).replaced_endpoints == ()
    assert load(tmp_path, "", base_url=["http://127.0.0.1:3/v1"]).replaced_endpoints == ()


def test_prices_of_wandb_may_have_the_prefix_that_litellm_gives_to_models(tmp_path: Path) -> None:
    """As models may."""
    price = "\ninput_usd_per_mtok = 0.5"
    text = f'[endpoint]\nprovider = "wandb"\n[endpoint.prices."wandb/m"]{price}\n[prices."wandb/n"]{price}'
    job = load(tmp_path, text)
    assert job.endpoint.prices == {"m": Price(input_usd_per_mtok=0.5)}
    assert job.prices == {"n": Price(input_usd_per_mtok=0.5)}


def test_one_base_url_is_one_endpoint_without_a_name(tmp_path: Path) -> None:
    """Also where a list or a flag gives it."""
    for job in (load(tmp_path, TWO, base_url=["http://h/v1"], allow_http=True), load(tmp_path, "")):
        assert list(job.endpoints) == [""]
        assert not job.has_several_endpoints


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        (TWO + "[endpoint]\n", {}, "[endpoint] and [endpoints] are both set; make it [endpoints.NAME] too"),
        (
            TWO,
            {"api_key_env": "K"},
            "--api_key_env: the job has several endpoints; set api_key_env in [endpoints.NAME]",
        ),
        (
            TWO + "[endpoints.azure.prices.deployment-n]\ninput_usd_per_mtok = 1",
            {},
            'endpoints.azure.prices = "deployment-n"; must be its name in the job: "n"',
        ),
        (
            TWO + "[endpoints.azure.prices.m]\ninput_usd_per_mtok = 1",
            {},
            'endpoints.azure.prices = "m"; must be one of the models of the endpoint (n)',
        ),
        (
            TWO + "[endpoints.c]\nprovider = 'openai'\n[endpoints.c.prices.m]\ninput_usd_per_mtok = 1",
            {},
            'endpoints.c.prices = "m"; must be a model that is asked there; it is asked at mine',
        ),
        ("[endpoints.a]\nmodels = ['m']", {}, "endpoints.a: must have a base_url or a provider"),
        (
            "[endpoints]\n",
            {},
            "[endpoints] names no endpoint; add [endpoints.NAME] with a base_url or a provider, or remove it",
        ),
        ("[endpoint]\nprovider = 'openai'\n[endpoints]\n", {}, "[endpoint] and [endpoints] are both set"),
        ("[endpoints]\na = 5", {}, "endpoints.a = 5; must be a table: [endpoints.NAME]"),
        (
            "[endpoints.a]\nprovider = 'openai'\nbase_ur = 'x'",
            {},
            "endpoints.a.base_ur is unknown; did you mean base_url?",
        ),
        (
            "[endpoints.a]\nprovider = 'opnai'",
            {},
            'endpoints.a.provider = "opnai"; must be one of wandb, openai, custom',
        ),
        (
            "[endpoints.a]\nprovider = 'openai'\n[endpoints.a.prices.m]\ninput_usd_per_mtok = -1",
            {},
            'endpoints.a.prices."m".input_usd_per_mtok = -1; must be at least 0',
        ),
        (
            "[endpoints.a]\nprovider = 'openai'\nheaders = {Authorization = 'Bearer x'}",
            {},
            'endpoints.a.headers."Authorization" = "…"; must be {env = "VARIABLE"}, the name of the variable that holds'
            " it: a job holds no secrets",
        ),
        (
            "[endpoints.a]\nprovider = 'openai'\nmodels = ['m']",
            {},
            'model.names = "n"; must be one of the models of an endpoint (m)',
        ),
        (
            "",
            {"base_url": ["http://h/v1", "http://h/v1"]},
            '--base_url = "http://h/v1"; is given twice; name each endpoint once',
        ),
        ("", {"base_url": ["http://h/v1", "ftp://x"], "allow_http": True}, '--base_url = "ftp://x"; must be a URL'),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, flags: Any, message: str, tmp_path: Path) -> None:
    assert message_of(tmp_path, text, **flags).startswith(message)


def test_http_is_allowed_to_each_of_several_endpoints_by_a_flag(tmp_path: Path) -> None:
    text = "[endpoints.a]\nbase_url = 'http://h/v1'\n[endpoints.b]\nbase_url = 'http://g/v1'"
    assert message_of(tmp_path, text).startswith('endpoints.a.base_url = "http://h/v1"; must be https')
    assert all(each.allow_http for each in load(tmp_path, text, allow_http=True).endpoints.values())


def test_the_base_url_of_the_environment_is_not_that_of_a_named_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    job = load(tmp_path, "[endpoints.a]\nprovider = 'openai'\n[endpoints.b]\nprovider = 'wandb'")
    assert job.endpoints["a"].base_url == "https://api.openai.com/v1"
