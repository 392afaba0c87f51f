"""Against servers of real models: token counts, prompts that are too long, permanent errors."""

import functools
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_rows
from real.environments import ROOT, Environment
from real.servers import serving

HERE = Path(__file__).parent
KEY = "sk-local"


@dataclass(frozen=True)
class Served:
    """A server with a tiny model whose tokens are bytes."""

    name: str
    base_url: str
    model: str


def command_line(name: str, environment: Environment, folder: Path, port: int) -> list[str]:
    """Return what serves the model of a folder."""
    at = ["--host", "127.0.0.1", "--port", str(port)]
    if name == "transformers":
        return [environment.command("transformers"), "serve", str(folder / "tiny"), "--device", "cpu", *at]
    model = ["--model", "tiny", "--model_alias", "tiny", "--n_threads", "1", "--n_ctx", "2048", "--api_key", KEY]
    embeds = ["--embedding", "true"] if name.endswith("-embeddings") else []
    return [environment.python, "-m", "llama_cpp.server", *model, *embeds, *at]


@pytest.fixture(scope="module")
def serve(installed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """Make a tiny random model and serve it, once for all tests; by the name of the environment."""
    with ExitStack() as servers:

        @functools.cache
        def serve(name: str) -> Served:
            environment, folder = installed(name.removesuffix("-embeddings")), tmp_path_factory.mktemp("model")
            format_ = "transformers" if name == "transformers" else "gguf"
            make = [environment.python, str(HERE / "tiny_llama.py"), format_, "tiny"]
            subprocess.run(make, cwd=folder, check=True, capture_output=True, timeout=120)
            line = functools.partial(command_line, name, environment, folder)
            url = servers.enter_context(serving(line, up="/v1/models", folder=folder, HF_HUB_OFFLINE="1"))
            return Served(name, f"{url}/v1", str(folder / "tiny") if name == "transformers" else "tiny")

        yield serve


@pytest.fixture(params=["transformers", "llama-cpp"])
def served(request: Any, serve: Any) -> Served:
    """Return each of the servers."""
    return serve(request.param)


@pytest.fixture
def run(batchrun: Any, served: Served) -> Any:
    """Run rows on the server."""

    def run(*rows: dict[str, Any], flags: tuple[str, ...] = (), key: str = KEY) -> Any:
        to = ("-m", served.model, "--base-url", served.base_url, "-o", "out", "--json", "--max-tokens", "16")
        return batchrun("run", write_rows("in.jsonl", *rows), *to, *flags, OPENAI_API_KEY=key, timeout_s=300)

    return run


@pytest.mark.parametrize("flags", [(), ("--stream",)], ids=["whole", "streamed"])
def test_tokens_are_the_ones_that_the_server_counted(run: Any, served: Served, flags: tuple[str, ...]) -> None:
    """A token is a byte: a prompt that is longer by n bytes has n more tokens."""
    prompts = ["x" * length for length in range(1, 101)]
    done = run(*({"prompt": prompt, "params": {"seed": 1}} for prompt in prompts), flags=flags)
    assert (done.code, done.json["completed"]) == (0, 100), done.stderr
    rows = results()
    assert [row["prompt"] for row in rows] == prompts
    (usage,) = done.json["models"]
    if served.name == "llama-cpp" and flags:  # the server states none in a stream, and batchrun does not invent them
        assert ({row["total_tokens"] for row in rows}, usage["total_tokens"]) == ({None}, None)
        return
    assert len({row["prompt_tokens"] - len(row["prompt"]) for row in rows}) == 1
    most = 16 if served.name == "transformers" else 32  # the other server continues to the end of a character
    assert all(0 < row["completion_tokens"] <= most for row in rows)
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert usage[name] == sum(row[name] for row in rows)


def test_only_a_prompt_that_is_too_long_fails(run: Any, served: Served) -> None:
    """The others are answered, and the server's message is kept."""
    done = run({"prompt": "short"}, {"prompt": "long " * 1000}, {"prompt": "short again"})
    assert [row["status"] for row in results()][::2] == ["completed", "completed"], done.stderr
    long = results()[1]
    if served.name == "llama-cpp":  # the other server answers every prompt
        assert (long["error_kind"], long["attempts"]) == ("context_length", 1)
        assert "2048" in long["error"]


def test_a_permanent_500_fails_the_row_and_not_the_run(run: Any, served: Served) -> None:
    """These servers answer an unreadable request with a 500. Without a reason it is retried a few times."""
    rows = [{"prompt": f"Say {number}."} for number in range(20)]
    rows[7]["params"] = {"temperature": "hot"}
    done = run(*rows)
    assert (done.code, done.json["completed"], done.json["failed"]) == (1, 19, 1), done.stderr
    bad = results()[7]
    assert bad["http_status"] == 500
    if served.name == "llama-cpp":  # it lists what is wrong in the body, so another attempt is of no use
        assert (bad["error_kind"], bad["attempts"]) == ("bad_request", 1)
    else:
        assert bad["error_kind"] == "server_error"
        assert 1 < bad["attempts"] < 40


def test_a_wrong_key_stops_the_run(run: Any, served: Served) -> None:
    """If the server checks keys."""
    done = run({"prompt": "one"}, key="sk-wrong")
    assert done.code == (4 if served.name == "llama-cpp" else 0), done.stderr


CHAIN = """
[input]
path = "{math}"
limit = 20
[prompt]
user = "{{{{ question }}}}"
[model]
name = "{model}"
max_tokens = 16
[endpoint]
base_url = "{base_url}"
[evaluate]
target = "answer"
scorer = "number"
[judge]
model = "{judge.model}"
temperature = 2
max_tokens = 100
{more}
[judge.endpoint]
base_url = "{judge.base_url}"
"""

OWN_LABELS = """
mode = "none"
template = "Is {{{{ answer }}}} right? {{{{ question }}}} {{{{ target }}}}"
score = "label"
schema = {label}
extra_body.response_format = {{ type = "json_object", schema = {label} }}
"""
"""A judge that this server holds to a form in its own way."""


@pytest.fixture
def chain(batchrun: Any, serve: Any) -> Any:
    """Answer problems with the model of a server, and judge the answers with the one of llama.cpp."""

    def chain(name: str, more: str) -> Any:
        answers, judge = serve(name), serve("llama-cpp")
        job = CHAIN.format(math=ROOT / "jobs/data/math.jsonl", more=more, judge=judge, **asdict(answers))
        Path(f"{name}.toml").write_text(job)
        return batchrun("run", f"{name}.toml", "-o", name, "--json", OPENAI_API_KEY=KEY, timeout_s=300)

    return chain


def test_answers_of_two_models_are_judged_and_compared(chain: Any, batchrun: Any) -> None:
    """Of two servers; what is compared is what stands in both results."""
    label = """{ type = "object", required = ["label"], properties.label.enum = ["correct", "incorrect"] }"""
    for name in ("transformers", "llama-cpp"):
        done = chain(name, OWN_LABELS.format(label=label))
        assert (done.code, done.json["judge"]["completed"], done.json["judge"]["failed"]) == (0, 20, 0), done.stderr
    a, b = ([row["judge_score"] for row in results(name)] for name in ("transformers", "llama-cpp"))
    assert set(a) | set(b) == {0.0, 1.0}
    (compared,) = batchrun("compare", "transformers", "llama-cpp", "--json").json["comparisons"]
    scores = {each["column"]: each for each in compared["scores"]}["judge_score"]
    assert compared["prompts"] == 20
    assert scores["means"] == [sum(a) / 20, sum(b) / 20]
    pairs = list(zip(a, b, strict=True))
    expected = [sum(y > x for x, y in pairs), sum(y < x for x, y in pairs), sum(y == x for x, y in pairs)]
    assert [scores["wins"], scores["losses"], scores["ties"]] == expected


def test_a_form_that_the_judges_server_does_not_know_is_not_waited_out(chain: Any) -> None:
    """It says so with a 500. The answers are kept, and the message names the field."""
    done = chain("llama-cpp", "")
    assert done.code == 4, done.stderr
    assert "the answers are complete; of their judging, 20 rows are left" in done.stderr
    assert "('body', 'response_format', 'type')" in done.stderr
    assert {row["status"] for row in results("llama-cpp")} == {"completed"}


def test_a_base_model_continues_a_text(run: Any, served: Served) -> None:
    """llama.cpp serves `/v1/completions`; the tokens are those that it counts."""
    if served.name != "llama-cpp":
        pytest.skip("transformers serves chat completions and responses")
    done = run({"prompt": "x" * 10}, {"prompt": "x" * 30}, flags=("--kind", "completions"))
    assert done.code == 0, done.stderr
    one, two = results()
    assert two["prompt_tokens"] - one["prompt_tokens"] == 20
    assert one["finish_reason"] in ("stop", "length")


def test_a_real_embedding_is_a_vector(serve: Any, batchrun: Any) -> None:
    """llama.cpp sends numbers whatever is asked for; equal texts get equal vectors."""
    served = serve("llama-cpp-embeddings")
    rows = write_rows("in.jsonl", {"text": "a"}, {"text": "b"}, {"text": "a"})
    flags = ("-m", served.model, "--base-url", served.base_url, "-o", "out", "--kind", "embeddings")
    done = batchrun("run", rows, *flags, OPENAI_API_KEY=KEY, timeout_s=300)
    assert done.code == 0, done.stderr
    one, two, three = (row["embedding"] for row in results())
    assert len(one) == len(two) > 0
    assert one == three != two
