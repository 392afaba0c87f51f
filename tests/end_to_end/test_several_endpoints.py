"""A job with several endpoints over real sockets: what each has received and billed is compared with the results."""

import asyncio
import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import write_prompts

from batchrun.simulator import Settings, Simulator, serve

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


class Server:
    """A simulator in a thread of its own, which can be killed and started again at the same address."""

    def __init__(self, **settings: Any) -> None:
        self._settings = {"latency_s": 0.01, "concurrency_limit": None} | settings
        self._port = 0
        self._books: list[Simulator] = []
        self.start()

    def start(self) -> None:
        """Serve."""
        self._loop, self._stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

        async def main() -> None:
            async with serve(Settings(**self._settings), port=self._port) as simulator:
                self._books.append(simulator)
                self.base_url = simulator.base_url
                self._port = int(simulator.base_url.rpartition(":")[2].partition("/")[0])
                ready.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(main(),))
        self._thread.start()
        assert ready.wait(10)

    def kill(self) -> None:
        """Stop; answers that are being made are lost."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def tokens(self) -> int:
        """All tokens that were billed."""
        return sum(sum(simulator.stats.totals()["billed_tokens"].values()) for simulator in self._books)

    def book(self, name: str) -> int:
        """Return a total over all its lives."""
        return sum(simulator.stats.totals()[name] for simulator in self._books)

    @property
    def peak(self) -> int:
        """The most requests in flight at once."""
        return max(simulator.stats.totals()["peak_in_flight"] for simulator in self._books)


Serve = Callable[..., Server]


@pytest.fixture
def server() -> Iterator[Serve]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def start(**settings: Any) -> Server:
        servers.append(Server(**settings))
        return servers[-1]

    yield start
    for each in servers:
        if each.is_alive:
            each.kill()


def write_job(endpoints: dict[str, str], model: str = f'name = "{MODEL}"', more: str = "") -> str:
    """Write a job file with these endpoints: name → the lines of its table."""
    tables = "\n".join(f"[endpoints.{name}]\n{lines}" for name, lines in endpoints.items())
    text = f'[input]\npath = "in.jsonl"\n[model]\n{model}\n[output]\ndir = "out"\n{more}\n{tables}\n'
    Path("job.toml").write_text(text, encoding="utf-8")
    return "job.toml"


def at(server: Server, *lines: str) -> str:
    return "\n".join([f'base_url = "{server.base_url}"', *lines])


def summary() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("out/run.json").read_text())
    return found


def column(name: str) -> list[Any]:
    return list(pq.read_table("out/results.parquet")[name].to_pylist())


def test_replicas_with_different_limits_share_the_rows(server: Serve, batchrun: Any) -> None:
    """Each limit is found, and each server is kept full: their shares are those of their slots."""
    servers = [server(concurrency_limit=10, latency_s=0.05), server(concurrency_limit=30, latency_s=0.05)]
    urls = [part for each in servers for part in ("--base-url", each.base_url)]
    prompts = write_prompts(*map(str, range(1_200)))
    assert batchrun("run", prompts, "-m", MODEL, *urls, "-o", "out").code == 0
    answered = [each.book("answered") for each in servers]
    assert sum(answered) == summary()["completed"] == 1_200
    assert answered[1] > 2 * answered[0]
    assert [each.peak for each in servers] <= [12, 34]
    assert sum(each.book("received") for each in servers) == summary()["attempts"]
    names = column("endpoint")
    assert [names.count(each.base_url.split("/")[2]) for each in servers] == answered


def test_max_concurrency_holds_for_the_sum(server: Serve, batchrun: Any) -> None:
    """And that of an endpoint for itself; also where rates hold requests back."""
    one, other = server(latency_s=0.03), server(latency_s=0.03)
    job = write_job({"one": at(one, "max_concurrency = 2"), "other": at(other)})
    prompts = write_prompts(*map(str, range(200)))
    assert batchrun("run", job, "-c", 6).code == 0
    assert one.peak <= 2
    assert other.peak > 2
    assert one.peak + other.peak <= 6
    rates = ("--requests-per-minute", 6_000)
    urls = ("--base-url", one.base_url, "--base-url", other.base_url)
    assert batchrun("run", prompts, "-m", MODEL, *urls, "-o", "paced", "-c", 1, *rates, "--limit", 40).code == 0
    assert one.peak + other.peak <= 6


def test_a_rate_of_the_job_holds_for_all_endpoints_together(server: Serve, batchrun: Any) -> None:
    """Each simulator would take all of it."""
    servers = [server(), server()]
    write_prompts(*map(str, range(60)))
    job = write_job({"a": at(servers[0]), "b": at(servers[1])})
    done = batchrun("run", job, "--requests-per-minute", 1_200, "--json")
    assert done.code == 0
    assert json.loads(done.stdout)["duration_s"] >= 2.5  # 60 requests at 20 a second
    assert all(each.book("received") for each in servers)


def test_two_models_at_two_endpoints_have_the_names_of_each(server: Serve, batchrun: Any) -> None:
    """The slow one does not hold the other up; the key of a row is that of the job's name."""
    fast, slow = server(models=("here",)), server(models=("there/fp8",), latency_s=0.3, concurrency_limit=4)
    endpoints = {"fast": at(fast), "slow": at(slow, 'models = { other = "there/fp8" }')}
    job = write_job(endpoints, 'names = ["here", "other"]')
    write_prompts(*map(str, range(20)))
    done = batchrun("run", job)
    assert done.code == 0, done.stderr
    assert [each.book("answered") for each in (fast, slow)] == [20, 20]
    assert {*zip(column("model"), column("endpoint"), strict=True)} == {("here", "fast"), ("other", "slow")}
    shown = batchrun("show", "out", "--row", 0, "-m", "other", "--curl").stdout
    assert slow.base_url in shown
    assert '"model":"there/fp8"' in shown
    probed = batchrun("check", job, "--probe").stdout
    assert "here at fast: " in probed
    assert "other at slow: " in probed


def test_a_key_that_is_refused_takes_out_its_endpoint(server: Serve, batchrun: Any) -> None:
    """Its share goes to the other at once, before it is known whether everybody is refused; its line says why."""
    dead, alive = server(keys=("sk-good",)), server()
    job = write_job({"dead": at(dead), "alive": at(alive)})
    write_prompts(*map(str, range(100)))
    done = batchrun("run", job)
    assert (done.code, summary()["completed"]) == (0, 100), done.stderr
    for text in (done.stderr, batchrun("status", "out").stdout):
        assert re.search(r"endpoints dead: 0 rows; away since .*Authentication failed", text), text
    assert (dead.book("answered"), alive.book("answered")) == (0, 100)


def test_an_endpoint_that_is_away_at_the_end_shows_since_when_and_why(server: Serve, batchrun: Any) -> None:
    """One that never came up; the other one has no state."""
    dead, alive = server(latency_s=0.05, concurrency_limit=4), server(latency_s=0.05, concurrency_limit=4)
    job = write_job({"dead": at(dead), "alive": at(alive)})
    write_prompts(*map(str, range(100)))
    dead.kill()
    done = batchrun("run", job)
    assert (done.code, summary()["completed"]) == (0, 100), done.stderr
    lasting, other = summary()["endpoints"]
    assert (lasting["state"], other["state"], other["message"]) == ("away", None, "")
    assert "Connection refused" in lasting["message"]
    for text in (done.stderr, batchrun("status", "out").stdout):
        assert re.search(r"endpoints dead: 0 rows; away since .*Connection refused", text), text


def test_where_every_key_is_refused_the_run_ends_as_with_one_endpoint(server: Serve, batchrun: Any) -> None:
    """Its rows stay open; the message names both."""
    one, other = server(keys=("sk-good",)), server(keys=("sk-good",))
    job = write_job({"one": at(one), "other": at(other)})
    write_prompts("a", "b")
    done = batchrun("run", job)
    assert done.code == 4
    assert "2 rows are left" in done.stderr
    assert f"{MODEL} at one, other: Authentication failed" in done.stderr.splitlines()[-1]


def test_of_two_endpoints_that_refuse_each_shows_since_when_and_why(server: Serve, batchrun: Any) -> None:
    """Also the last one, which stops the run: the key is wrong at one, the other has no quota left."""
    keyless, broke = server(keys=("sk-good",)), server(error_shares={"402": 1.0})
    job = write_job({"keyless": at(keyless), "broke": at(broke)})
    write_prompts(*map(str, range(20)))
    done = batchrun("run", job)
    assert done.code == 4, done.stderr
    entries = summary()["endpoints"]
    assert [(entry["state"], entry["since"] is not None) for entry in entries] == [("closed", True)] * 2
    assert [entry["message"].partition(";")[0].partition(".")[0] for entry in entries] == [
        "Authentication failed",
        "You exceeded your current quota, please check your plan and billing details",
    ]
    status = batchrun("status", "out").stdout
    assert all(re.search(rf"{name}: 0 rows; closed since ", status) for name in ("keyless", "broke")), status
    assert done.stderr.count("nothing more is sent to") == 1  # the last one is in the reason to stop


@pytest.mark.parametrize("is_back", [False, True])
def test_an_endpoint_that_is_killed_loses_no_row(is_back: bool, server: Serve, batchrun: Any) -> None:
    """Its rows go to the other at once, and no attempt counts; when it is back, it gets its share again."""
    killed, other = (server(latency_s=0.05, concurrency_limit=20) for _ in range(2))
    urls = ("--base-url", killed.base_url, "--base-url", other.base_url)
    prompts = write_prompts(*map(str, range(1_000)))

    def behave() -> None:
        while killed.book("answered") < 100:
            assert not done.wait(0.01)
        killed.kill()
        if is_back:
            done.wait(1)
            killed.start()

    done = threading.Event()
    with acting(behave, done):
        code = batchrun("run", prompts, "-m", MODEL, *urls, "-o", "out", "--max-attempts", 1).code
    assert (code, summary()["completed"], summary()["failed"]) == (0, 1_000, 0)
    assert sorted(column("row")) == [*range(1_000)]
    bought_twice = killed.book("answered") + other.book("answered") - 1_000
    assert 0 <= bought_twice <= 20  # what it had answered when it was killed, and could not send


@contextmanager
def acting(action: Callable[[], None], done: threading.Event) -> Iterator[None]:
    """Run an action in a thread inside of the context."""
    thread = threading.Thread(target=action)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_endpoints_are_added_and_removed_and_nothing_is_bought_again(server: Serve, batchrun: Any) -> None:
    """By name or as replicas; nobody is asked, because one of them is known."""
    first, second = server(), server()
    prompts = write_prompts(*map(str, range(40)))
    run = ("run", prompts, "-m", MODEL, "-o", "out")
    one, other = ("--base-url", first.base_url), ("--base-url", second.base_url)
    assert batchrun(*run, *one, "--limit", 20).code == 0
    assert batchrun(*run, *one, *other, "--limit", 40).code == 0
    assert batchrun(*run, *other).code == 0
    assert first.book("received") + second.book("received") == 40
    job = write_job({"second": at(second), "third": at(server())})
    assert batchrun("run", job, "-o", "out").code == 0
    assert first.book("received") + second.book("received") == 40
    assert summary()["completed"] == 40


def test_answers_of_unknown_endpoints_are_not_kept_without_a_question(server: Serve, batchrun: Any) -> None:
    """None of the job's endpoints has answered before."""
    first, second, third = server(), server(), server()
    prompts = write_prompts("a")
    assert batchrun("run", prompts, "-m", MODEL, "--base-url", first.base_url, "-o", "out").code == 0
    urls = ("--base-url", second.base_url, "--base-url", third.base_url)
    done = batchrun("run", prompts, "-m", MODEL, *urls, "-o", "out")
    assert done.code == 2
    assert f"the endpoints of the job are {second.base_url} and {third.base_url} now" in done.stderr
    assert second.book("received") + third.book("received") == 0


def test_ctrl_c_drains_all_endpoints(server: Serve, spawn: Any) -> None:
    """What is in flight at each is kept."""
    servers = [server(latency_s=0.5, concurrency_limit=20) for _ in range(2)]
    write_prompts(*map(str, range(500)))
    job = write_job({"a": at(servers[0]), "b": at(servers[1])})
    process = spawn("run", job)
    while not all(each.book("answered") for each in servers):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert sum(each.book("answered") for each in servers) == summary()["completed"]
    assert all(each.book("clients_left") == 0 for each in servers)


def test_a_cap_counts_what_each_endpoint_costs(server: Serve, batchrun: Any) -> None:
    """Prices are those of the endpoint that answers, and the cap is one for both."""
    cheap, dear = server(concurrency_limit=2), server(concurrency_limit=2)
    prices = '[endpoints.{}.prices."' + MODEL + '"]\ninput_usd_per_mtok = {}\noutput_usd_per_mtok = {}\n'
    write_prompts(*map(str, range(400)))
    endpoints = {
        "cheap": at(cheap) + "\n" + prices.format("cheap", 1, 1),
        "dear": at(dear) + "\n" + prices.format("dear", 100, 100),
    }
    job = write_job(endpoints, f'name = "{MODEL}"\nmax_tokens = 20')
    done = batchrun("run", job, "--max-cost", 0.006, "--yes")
    assert done.code == 5, done.stderr
    found = summary()
    spent = sum(usd * each.tokens / 1e6 for usd, each in ((1, cheap), (100, dear)))
    assert found["cost_usd"] == pytest.approx(spent, rel=1e-6)
    assert spent <= 0.006


def test_a_job_that_no_endpoint_serves_is_refused_before_anything_is_sent(server: Serve, batchrun: Any) -> None:
    """A row that names such a model fails alone."""
    one, other = server(), server()
    endpoints = {"one": at(one, 'models = ["a"]'), "other": at(other, f'models = ["{MODEL}"]')}
    write_prompts("x")
    done = batchrun("run", write_job(endpoints, 'name = "b"'))
    assert (done.code, one.book("received") + other.book("received")) == (2, 0)
    assert (
        'model.names = "b"; must be one of the models of an endpoint (a, meta-llama/Llama-3.1-8B-Instruct)'
        in done.stderr
    )
    lines = [
        {"custom_id": name, "body": {"model": name, "messages": [{"role": "user", "content": "x"}]}}
        for name in (MODEL, "b")
    ]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert batchrun("run", write_job(endpoints, "")).code == 1
    assert [*zip(column("endpoint"), column("error_kind"), strict=True)][1][1] == "bad_row"


def test_the_simulator_answers_for_every_endpoint(batchrun: Any) -> None:
    """Neither keys nor servers are needed."""
    write_prompts(*map(str, range(50)))
    endpoints = {
        "a": 'base_url = "https://a.example/v1"',
        "b": 'base_url = "https://b.example/v1"\napi_key_env = "NOWHERE"',
    }
    assert batchrun("run", write_job(endpoints), "--simulate").code == 0
    assert {*column("endpoint")} == {"a", "b"}


def test_check_shows_where_each_model_is_asked_and_a_name_with_a_typo(server: Serve, batchrun: Any) -> None:
    """Such a name has no effect: the model is asked elsewhere, also by `run`."""
    one, other = server(models=("m",)), server(models=("m",))
    job = write_job({"one": at(one), "other": at(other, 'models = { m = "m", nn = "x" }')}, 'names = ["m", "n"]')
    write_prompts("a")
    typo = 'note      endpoints.other.models: no row and no setting asks for "nn"'
    checked = batchrun("check", job).stdout
    assert "sent to   m: other\n          n: one\n" in checked
    assert typo in checked
    assert json.loads(batchrun("check", job, "--json").stdout)["served_by"] == {"m": {"other": "m"}, "n": {"one": "n"}}
    assert typo.replace("note      ", "note: ") in batchrun("run", job).stderr


def test_models_lists_what_answers_and_names_what_does_not(server: Serve, batchrun: Any) -> None:
    """The exit code is that of the one that refuses."""
    alive, dead, other = server(models=("m",)), server(models=("m",)), server(models=("n",))
    dead.kill()
    urls = [part for each in (alive, dead, other) for part in ("--base-url", each.base_url)]
    done = batchrun("models", *urls)
    assert (done.code, done.stdout) == (4, f"{alive.base_url}:\nm\n{other.base_url}:\nn\n")
    assert f"batchrun: {dead.base_url}: no connection: Connection refused" in done.stderr
    done = batchrun("models", *urls, "--json")
    assert (done.code, done.json["exit_code"]) == (4, 4)
    assert [each["models"] for each in done.json["endpoints"]] == [["m"], [], ["n"]]
    assert [bool(each["message"]) for each in done.json["endpoints"]] == [False, True, False]
    assert batchrun("models", *urls[:2], *urls[4:]).code == 0
    assert batchrun("models", *urls[2:4]).code == 4


@pytest.mark.parametrize("slots", [(4, 3), (3, 30)])
def test_usage_counts_a_row_and_its_fallback_where_each_was_asked(
    batchrun: Any, server: Serve, slots: tuple[int, int]
) -> None:
    """No count is below 0, and each endpoint's attempts, rejections and tokens are those in the server's books."""
    long = f"[[simulate: context_length model={MODEL}]]"
    write_prompts(*(f"hello {row} {long if row % 3 == 0 else ''}" for row in range(120)))
    other = "openai/gpt-oss-20b"
    east, west = (server(concurrency_limit=each) for each in slots)
    job = write_job(
        {"east": at(east, f'models = ["{MODEL}"]'), "west": at(west, f'models = ["{other}"]')},
        f'name = "{MODEL}"\nfallback = "{other}"',
    )
    assert batchrun("run", job).code == 0
    usage = pq.read_table("out/usage.parquet").to_pylist()
    counts = ("attempts", "throttled", "total_tokens")
    for name, its in (("east", east), ("west", west)):
        rows = [each for each in usage if each["endpoint"] == name]
        assert all(each[count] is None or each[count] >= 0 for each in rows for count in counts)
        sums = [sum(each[count] or 0 for each in rows) for count in counts]
        rejected = sum(simulator.stats.totals()["rejected"].get("concurrency", 0) for simulator in its._books)
        assert sums == [its.book("received"), rejected, its.tokens], name
    assert {(each["endpoint"], each["answered_by"]) for each in usage} == {("east", None), ("west", other)}


def test_a_base_url_over_the_endpoints_of_a_job_file_is_reported(server: Serve, batchrun: Any) -> None:
    """By `check` and by `run`: a flag beats the job file, here with all settings of its endpoints."""
    east, west, other = server(), server(), server()
    job = write_job({"east": at(east), "west": at(west, "max_concurrency = 5000")})
    write_prompts("a", "b")
    noted = "--base-url takes the place of the endpoints of the job file (east, west) and of all their settings"
    ignored = (
        "endpoints.west.max_concurrency = 5000 has no effect: limits.max_concurrency = 1000 holds for all together"
    )
    for command in ("check", "run"):
        done = batchrun(command, job, "--base-url", other.base_url, "-o", "replaced")
        assert done.code == 0
        assert noted in done.stdout + done.stderr
        done = batchrun(command, job)
        assert done.code == 0
        assert ignored in done.stdout + done.stderr
        assert noted not in done.stdout + done.stderr
    assert [each.book("received") for each in (east, west, other)] == [1, 1, 2]


def priced(server: Server, usd: int) -> str:
    """Return the lines of an endpoint with a price for prompts and answers, in US dollars per million tokens."""
    return at(server, f'prices = {{"{MODEL}" = {{input_usd_per_mtok = {usd}, output_usd_per_mtok = {usd}}}}}')


@pytest.mark.parametrize("then", ["replaced", "renamed", "another_server"])
def test_a_cap_holds_and_costs_stay_true_when_the_endpoints_of_a_run_change(
    server: Serve, batchrun: Any, then: str
) -> None:
    """What a dear endpoint was paid stays paid when the job names another one, or another server by its name."""
    dear, cheap = server(), server()
    write_prompts(*map(str, range(400)))
    length = f'name = "{MODEL}"\nmax_tokens = 20'
    job = write_job({"dear": priced(dear, 100)}, length)
    assert batchrun("run", job, "--limit", 20).code == 0
    before = summary()["cost_usd"]
    assert before == pytest.approx(dear.tokens * 100 / 1e6)
    cap = 1.5 * before
    endpoints = {
        "replaced": {"cheap": priced(cheap, 10)},
        "another_server": {"dear": priced(cheap, 10)},
        "renamed": {"costly": priced(dear, 100), "cheap": priced(cheap, 10)},
    }[then]
    done = batchrun("run", write_job(endpoints, length), "--max-cost", cap, "--yes")
    paid = dear.tokens * 100 / 1e6 + cheap.tokens * 10 / 1e6
    assert (done.code, before < paid <= cap) == (5, True)
    assert summary()["cost_usd"] == pytest.approx(paid)
    assert sum(each["cost_usd"] for each in summary()["executions"]) == pytest.approx(paid)
    assert sum(pq.read_table("out/usage.parquet")["cost_usd"].to_pylist()) == pytest.approx(paid)
    assert sum(column("cost_usd")) == pytest.approx(paid)
    assert f"cost      {paid:.4f} USD" in batchrun("status", "out").stdout


def test_answers_of_a_name_that_has_had_two_urls_are_reused_at_the_url_that_gave_them(
    server: Serve, batchrun: Any
) -> None:
    """The two stay apart; usage shows the name once, with all that was paid."""
    east, west = server(), server()
    write_prompts(*map(str, range(20)))
    assert batchrun("run", write_job({"a": priced(east, 100)}), "--limit", 8).code == 0
    assert batchrun("run", write_job({"a": priced(west, 10)}), "--yes").code == 0
    assert (east.book("answered"), west.book("answered")) == (8, 12)
    usage = pq.read_table("out/usage.parquet").to_pylist()
    assert [(each["endpoint"], each["completed"]) for each in usage] == [("a", 20)]
    assert usage[0]["cost_usd"] == pytest.approx((east.tokens * 100 + west.tokens * 10) / 1e6)
    assert column("endpoint") == ["a"] * 20
    for other, count in ((east, 8), (west, 12)):
        reusing = batchrun("run", write_job({"b": at(other)}), "-o", f"with_{count}", "--reuse", "out")
        assert f"{count} answers reused from out" in reusing.stderr
    assert (east.book("answered"), west.book("answered")) == (8 + 12, 12 + 8)
