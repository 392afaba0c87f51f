import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import fields

import orjson
import pytest
from click.testing import CliRunner

from batchrun.simulator.command import simulate
from batchrun.simulator.faults import FAULTS
from batchrun.simulator.settings import Settings

COMMAND = [sys.executable, "-m", "batchrun.simulator", "--port", "0", "--json"]


@pytest.fixture
def started():
    """Start simulators as a user does, and stop them all at the end."""
    processes = []

    def start(*options):
        process = subprocess.Popen(
            [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        processes.append(process)
        return process, orjson.loads(process.stdout.readline())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_prints_its_address_and_stops_on_a_signal(started, name):
    """One line of JSON, one line of text; a signal stops it immediately with 0, even with a request open."""
    process, line = started("--concurrency-limit", "7", "--latency-s", "0")
    body = {"model": "openai/gpt-oss-20b", "messages": [{"role": "user", "content": "[[simulate: silence]]"}]}
    request = urllib.request.Request(
        f"{line['base_url']}/chat/completions", orjson.dumps(body), {"Authorization": "Bearer x"}
    )
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.3)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, line["base_url"]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert holder.stdout.readline() == "sent\n"
    stopped_s = time.monotonic()
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - stopped_s < 20  # the open request would never end
    holder.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, "")
    assert line == {"base_url": f"http://127.0.0.1:{line['port']}/v1", "port": line["port"], "pid": process.pid}
    [announcement] = stderr.splitlines()
    assert line["base_url"] in announcement
    hint = rf"OPENAI_API_KEY=any batchrun run - -m \S+ -o out --base-url {re.escape(line['base_url'])}$"
    assert re.search(hint, announcement), announcement


HOLD = """
import socket, sys, urllib.parse
place = urllib.parse.urlsplit(sys.argv[1])
body = b'{"model": "openai/gpt-oss-20b", "messages": [{"role": "user", "content": "[[simulate: silence]]"}]}'
with socket.create_connection((place.hostname, place.port)) as connection:
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: x", "Authorization: Bearer x", f"Content-Length: {len(body)}"]
    connection.sendall("\\r\\n".join([*head, "", ""]).encode() + body)
    print("sent", flush=True)
    connection.recv(1)
"""


def test_options_reach_the_server(started):
    """Settings from the command line take effect."""
    _, line = started("--error", "503=0.25", "--error", "cut=0.5", "--no-require-key", "--model", "a", "--model", "b")
    root = line["base_url"].removesuffix("/v1")
    with urllib.request.urlopen(urllib.request.Request(f"{root}/control", b"{}")) as reply:
        settings = orjson.loads(reply.read())
    assert settings["error_shares"] == {"503": 0.25, "cut": 0.5}
    assert settings["models"] == ["a", "b"]
    assert settings["require_key"] is False
    assert settings["concurrency_limit"] == 50


def test_help_names_every_setting_and_every_fault():
    """The help is made from the tables, so it is complete."""
    text = CliRunner().invoke(simulate, ["--help"]).output
    words = text.split()
    for item in fields(Settings):
        assert f"--{(item.metadata['option'] or item.name).replace('_', '-')}" in words
        assert f"{item.metadata['group']}:" in words
    assert not FAULTS.keys() - set(words)
    for part in ("--host", "--port", "--json", "[[simulate: FAULT", "/stats/requests", "/control"):
        assert part in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--latency-s", "fast"], "Invalid value for '--latency-s': must be a number of at least 0"),
        (["--error", "5000=0.1"], "Invalid value for '--error': no fault is named '5000'; the nearest is 500"),
        (["--error", "500"], "Invalid value for '--error': must be NAME=VALUE"),
        (["--error", "500=0.6", "--error", "503=0.6"], "must not add up to more than 1"),
        (["--error-shape", "xml"], "Invalid value for '--error-shape'"),
        (["--port", "70000"], "Invalid value for '--port'"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    """Exit code 2, and a message with the option and the cure."""
    result = CliRunner().invoke(simulate, options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_port_in_use_is_named(started):
    """The message has the address."""
    _, line = started()
    second = subprocess.run(
        [*COMMAND[:-3], "--port", str(line["port"])], capture_output=True, text=True, timeout=10, check=False
    )
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{line['port']}" in second.stderr
    assert "Traceback" not in second.stderr
