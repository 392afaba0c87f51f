"""Against servers of real models: token counts, prompts that are too long, permanent errors."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_rows
from real.servers import serving

HERE = Path(__file__).parent
KEY = "sk-local"


@dataclass(frozen=True)
class Served:
    """A server with a tiny model whose tokens are bytes."""

    name: str
    base_url: str
    model: str


@pytest.fixture(scope="module", params=["transformers", "llama-cpp"])
def served(request: Any, installed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Make a tiny random model and serve it."""
    environment = installed(request.param)
    folder = tmp_path_factory.mktemp("model")
    format_, tiny = ("transformers", "tiny") if request.param == "transformers" else ("gguf", "tiny.gguf")
    make = [environment.python, str(HERE / "tiny_llama.py"), format_, tiny]
    subprocess.run(make, cwd=folder, check=True, capture_output=True, timeout=120)

    def line(port: int) -> list[str]:
        if request.param == "transformers":
            serve = [environment.command("transformers"), "serve", str(folder / tiny), "--device", "cpu"]
            return [*serve, "--host", "127.0.0.1", "--port", str(port)]
        serve = [environment.python, "-m", "llama_cpp.server", "--model", tiny, "--model_alias", "tiny"]
        return [
            *serve,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--n_threads",
            "1",
            "--n_ctx",
            "2048",
            "--api_key",
            KEY,
        ]

    with serving(line, up="/v1/models", folder=folder, HF_HUB_OFFLINE="1") as url:
        model = str(folder / tiny) if request.param == "transformers" else "tiny"
        yield Served(request.param, f"{url}/v1", model)


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
        assert ({row["total_tokens"] for row in rows}, usage["total_tokens"]) == ({None}, 0)
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


def test_a_permanent_500_fails_the_row_and_not_the_run(run: Any) -> None:
    """These servers answer an unreadable request with a 500: it is retried a few times, then its row fails."""
    rows = [{"prompt": f"Say {number}."} for number in range(20)]
    rows[7]["params"] = {"temperature": "hot"}
    done = run(*rows)
    assert (done.code, done.json["completed"], done.json["failed"]) == (1, 19, 1), done.stderr
    bad = results()[7]
    assert (bad["error_kind"], bad["http_status"]) == ("server_error", 500)
    assert 1 < bad["attempts"] < 40


def test_a_wrong_key_stops_the_run(run: Any, served: Served) -> None:
    """If the server checks keys."""
    done = run({"prompt": "one"}, key="sk-wrong")
    assert done.code == (4 if served.name == "llama-cpp" else 0), done.stderr
