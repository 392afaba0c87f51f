"""`batchrun show`: rows in the terminal, and requests that can be repeated by hand."""

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.pictures import picture
from harness.prompts import results, write_prompts, write_rows

from batchrun.simulator import server

KEY = "sk-test"
NASTY = "it's \"so\" $HOME `id` $(id) !! \\ \\n 'x'\nline & ; | # é 日本 \u202e\x7f\x9b\x1b[31m %s {{ }} @file"
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh") if shutil.which(shell)]

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the bodies that the endpoint receives."""
    got: list[Any] = []
    parse = server.parse_chat

    def parsed(raw: bytes, **settings: Any) -> Any:
        got.append(json.loads(raw))
        return parse(raw, **settings)

    monkeypatch.setattr(server, "parse_chat", parsed)
    return got


def test_a_request_is_repeated_by_every_shell_as_it_was_sent(
    run: Any, batchrun: Any, endpoint: Any, bodies: list[Any]
) -> None:
    """Whatever the prompt holds: quotes, line breaks, variables, control characters. The key is not shown."""
    endpoint.change(keys=[KEY])
    assert run(write_prompts("other", NASTY), "--temperature", "0.5").code == 0
    asked = next(body for body in bodies if body["messages"][0]["content"] == NASTY)
    shown = batchrun("show", "out", "--row", "1", "--curl")
    assert (shown.code, shown.stderr) == (0, "")
    assert KEY not in shown.stdout
    assert [letter for letter in shown.stdout if not letter.isprintable() and letter != "\n"] == []
    for shell in SHELLS:
        bodies.clear()
        done = subprocess.run([shell], input=shown.stdout, capture_output=True, text=True, check=True)
        assert bodies == [asked], shell
        assert json.loads(done.stdout)["choices"], shell


def test_a_request_can_be_pasted_into_an_interactive_shell(
    run: Any, batchrun: Any, endpoint: Any, bodies: list[Any]
) -> None:
    """There `!!` stands for the last command, and a tab completes."""
    run(write_prompts(NASTY))
    command = batchrun("show", "out", "--curl").stdout
    asked, before = bodies[0], endpoint.stats.received
    master, slave = pty.openpty()
    shell = ["bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(shell, stdin=slave, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        os.write(master, f"{command}exit\n".encode())
        process.wait(20)
    os.close(master)
    os.close(slave)
    assert endpoint.stats.received == before + 1
    assert bodies[-1] == asked


def test_a_request_with_images_is_repeated_although_no_argument_may_be_so_long(
    run: Any, batchrun: Any, bodies: list[Any]
) -> None:
    """Small images and large ones, which come through a pipe."""
    Path("small.png").write_bytes(picture("s"))
    Path("large.png").write_bytes(picture("l", size=300_000))
    write_rows("in.jsonl", {"photo": "small.png"}, {"photo": ["small.png", "large.png"]})
    assert run("in.jsonl", "-t", "What is it?", "--images", "photo").code == 0
    sent = sorted(bodies, key=lambda body: len(json.dumps(body)))
    for row, asked in enumerate(sent):
        command = batchrun("show", "out", "--row", row, "--curl").stdout
        bodies.clear()
        subprocess.run(["sh"], input=command, capture_output=True, text=True, check=True)
        assert bodies == [asked]
    assert len(json.dumps(sent[1])) > 300_000


def test_a_request_of_an_edited_input_is_named_as_changed(run: Any, batchrun: Any, bodies: list[Any]) -> None:
    """The note names the row; rows that were not edited have none."""
    run(write_prompts("a", "b"))
    write_prompts("a", "new")
    same, edited = (batchrun("show", "out", "--row", row, "--curl") for row in (0, 1))
    assert same.stderr == ""
    assert edited.stderr == "note: the input has changed since row 1 was answered; this is what the row asks now\n"
    assert '"content":"new"' in edited.stdout
    gone = batchrun("show", "out", "--row", "2", "--curl")
    assert (gone.code, gone.stdout) == (2, "")
    assert "row 2: the input has no such row" in gone.stderr
    Path("in.jsonl").unlink()
    assert "in.jsonl: no such file" in batchrun("show", "out", "--row", "0", "--curl").stderr


def test_an_image_that_has_changed_is_named_too(run: Any, batchrun: Any) -> None:
    """Its row in the input is the same, but what it asks is not."""
    Path("a.png").write_bytes(picture("a"))
    write_rows("in.jsonl", {"photo": "a.png"})
    run("in.jsonl", "-t", "What is it?", "--images", "photo")
    assert batchrun("show", "out", "--curl").stderr == ""
    Path("a.png").write_bytes(picture("b"))
    assert "the input has changed since row 0 was answered" in batchrun("show", "out", "--curl").stderr


def test_the_request_that_asks_again_is_the_next_one_of_the_run(run: Any, batchrun: Any, bodies: list[Any]) -> None:
    """It holds the answer that did not fit, and what is wrong with it."""
    Path("job.toml").write_text(
        f"[input]\npath = {write_prompts('[[simulate: off_schema]]')!r}\n[response]\nrepair_attempts = 1\n"
        "[response.schema]\ntype = 'object'\nproperties.label = { enum = ['x', 'y'] }\nrequired = ['label']\n"
    )
    assert run("job.toml").code == 1
    first, second = bodies
    shown = batchrun("show", "out", "--failed", "--curl")
    assert "add --repair" in shown.stderr
    subprocess.run(["sh"], input=shown.stdout, capture_output=True, text=True, check=True)
    assert bodies[-1] == first
    repair = batchrun("show", "out", "--failed", "--curl", "--repair").stdout
    subprocess.run(["sh"], input=repair, capture_output=True, text=True, check=True)
    asked = bodies[-1]["messages"]
    assert bodies[-1] == second  # the endpoint gives the same wrong answer each time
    assert asked[-1]["content"].startswith("Your answer cannot be used: ")


def test_failed_rows_are_shown_with_their_reasons(run: Any, batchrun: Any) -> None:
    """As many as the endpoint refused; the first that was sent can be repeated."""
    Path("in.jsonl").write_text(
        '{"prompt": 1}\n{"prompt": "a"}\n{"prompt": "b [[simulate: 400]]"}\n{"prompt": "c [[simulate: 400]]"}\n'
    )
    assert run("in.jsonl").code == 1
    done = batchrun("show", "out", "--failed")
    assert (done.code, done.stderr) == (0, "")
    head, _, *lines, count = done.stdout.splitlines()
    assert head.split() == ["row", "error_kind", "error"]
    assert [line.split()[:2] for line in lines] == [["0", "bad_row"], ["2", "bad_request"], ["3", "bad_request"]]
    assert count == "3 of 3 failed rows"
    assert '"content":"b [[simulate: 400]]"' in batchrun("show", "out", "--failed", "--curl").stdout
    never_sent = batchrun("show", "out", "--row", "0", "--curl")
    assert never_sent.code == 2
    assert "row 0: cannot become a request: in.jsonl:1" in never_sent.stderr


def test_json_has_the_rows_of_the_results(run: Any, batchrun: Any) -> None:
    """One object per line; control characters stay inside their strings, escaped."""
    run(write_prompts("a", NASTY, "c"))
    lines = batchrun("show", "out", "--json").stdout.splitlines()
    assert all(line.isprintable() for line in lines)
    rows = list(map(json.loads, lines))
    assert [row["prompt"] for row in rows] == ["a", NASTY, "c"]
    assert [row["response"] for row in rows] == [row["response"] for row in results()]
    chosen = batchrun("show", "out", "row", "status", "-n", "2", "--json").stdout
    assert chosen == '{"row":0,"status":"completed"}\n{"row":1,"status":"completed"}\n'


def test_a_row_in_full_has_what_was_sent_and_what_came_back(run: Any, batchrun: Any) -> None:
    """With its line breaks, and without characters that a terminal would obey."""
    run(write_prompts(NASTY), "-s", "Be brief.")
    shown = batchrun("show", "out", "--row", "0").stdout
    assert shown.startswith("system\n  Be brief.\nuser\n  it's")
    assert "\n  line & ; |" in shown
    assert results()[0]["response"] in shown
    assert [letter for letter in shown if not letter.isprintable() and letter != "\n"] == []
    assert "\\x1b[31m" in shown


def test_a_model_and_a_sample_can_be_chosen(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Each of a row's requests can be chosen; a seed makes them differ."""
    endpoint.change(models=())
    assert run(write_prompts("a", "b"), "-m", "second", "--num-samples", "2", "--seed", "7").code == 0
    head, _, *lines, count = batchrun("show", "out", "-n", "5").stdout.splitlines()
    assert head.split()[:3] == ["row", "model", "sample"]
    assert len(lines) == 5
    assert count == "5 of 8 rows"
    assert len(batchrun("show", "out", "-m", "second", "--json").stdout.splitlines()) == 4
    all_of_row = batchrun("show", "out", "--row", "1", "--curl")
    assert all_of_row.stdout.count("curl -sS") == 4
    assert "these are 4 requests; to choose one" in all_of_row.stderr
    one = batchrun("show", "out", "--row", "1", "-m", "second", "--sample", "1", "--curl")
    assert (one.stdout.count("curl -sS"), one.stderr) == (1, "")
    assert '"model":"second"' in one.stdout
    assert '"seed":8' in one.stdout


def test_rows_are_shown_while_the_run_is_stopped_half_way(run: Any, batchrun: Any) -> None:
    """From the checkpoint, where results.parquet is missing or older."""
    run(write_prompts("a", "b [[simulate: 400]]", "c"))
    expected = batchrun("show", "out", "--json").stdout
    Path("out/results.parquet").unlink()
    assert batchrun("show", "out", "--json").stdout == expected
    assert batchrun("show", "out", "--failed", "row", "--json").stdout == '{"row":1}\n'
    assert not Path("out/results.parquet").exists()


def test_a_run_with_nothing_settled_says_so(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Its rows are open, not absent."""
    endpoint.change(keys=["sk-other"])
    assert run(write_prompts("a", "b")).code == 4
    for choice in ([], ["--failed"]):
        shown = batchrun("show", "out", *choice).stdout
        assert shown == "no row is settled yet; see how far the run is: batchrun status out\n"
    endpoint.change(keys=[])
    assert run(write_prompts("a", "b")).code == 0
    assert batchrun("show", "out", "--failed").stdout == "no row has failed\n"


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["nowhere"], 3, ["nowhere: holds no run"]),
        (["out", "promt"], 2, ["no column promt", "did you mean prompt?"]),
        (["out", "-m", "n"], 2, ["has no answers of n", "its models are"]),
        (["out", "--row", "9"], 2, ["row 9 has no answer", "numbered from 0"]),
        (["out", "--repair"], 2, ["add --curl"]),
        (["out", "--curl", "--json"], 2, ["leave out --json"]),
        (["out", "--curl", "--repair"], 2, ["nothing to repair"]),
        (["out", "--failed", "--curl"], 2, ["no request of this choice", "batchrun show out"]),
    ],
)
def test_what_a_run_does_not_have_is_refused(
    run: Any, batchrun: Any, arguments: list[str], code: int, parts: list[str]
) -> None:
    """Nothing is printed on stdout; the message names what there is."""
    run(write_prompts("a"))
    done = batchrun("show", *arguments)
    assert (done.code, done.stdout) == (code, "")
    for part in parts:
        assert part in done.stderr


def test_a_command_names_the_variable_of_the_key(
    run: Any, batchrun: Any, monkeypatch: pytest.MonkeyPatch, endpoint: Any
) -> None:
    """And says where it is not set. A name that could be the key itself is not shown."""
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("odd_name", KEY)
    run(write_prompts("a"), "--api-key-env", "MY_KEY", "--project", "my-team/it's")
    assert '-H "Authorization: Bearer $MY_KEY"' in batchrun("show", "out", "--curl").stdout
    monkeypatch.delenv("MY_KEY")
    assert "MY_KEY, which is not set here: export MY_KEY=…" in batchrun("show", "out", "--curl").stderr
    run(write_prompts("a"), "--api-key-env", "odd_name", "--restart")
    assert "$odd_name" in batchrun("show", "out", "--curl").stdout
    monkeypatch.delenv("odd_name")
    hidden = batchrun("show", "out", "--curl")
    assert "odd_name" not in hidden.stdout + hidden.stderr
    assert "$API_KEY" in hidden.stdout


def test_rows_from_standard_input_are_repeated_too(run: Any, batchrun: Any, bodies: list[Any]) -> None:
    """The run directory keeps them. Without the input a row is shown, and a note says what is missing."""
    assert run("-", stdin=b'{"prompt": "a"}\n{"prompt": "b"}\n').code == 0
    command = batchrun("show", "out", "--row", "1", "--curl")
    assert command.stderr == ""
    subprocess.run(["sh"], input=command.stdout, capture_output=True, text=True, check=True)
    assert bodies[-1]["messages"] == [{"role": "user", "content": "b"}]
    Path("out/input.jsonl").unlink()
    shown = batchrun("show", "out", "--row", "1")
    assert shown.code == 0
    assert "note: the request cannot be shown: " in shown.stderr
    assert results()[1]["response"] in shown.stdout


def test_a_simulated_run_says_that_the_command_asks_the_real_endpoint(batchrun: Any) -> None:
    """It would cost something."""
    batchrun("run", write_prompts("a"), "-m", "m", "--simulate", "-o", "out", "--base-url", "http://127.0.0.1:1/v1")
    done = batchrun("show", "out", "--curl")
    assert "the simulator made these answers up; the command asks http://127.0.0.1:1/v1" in done.stderr
