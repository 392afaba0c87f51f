"""The key is in none of Ray's files, lists and logs, and not in what its dashboard tells."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from harness.reference import ROOT
from on_ray.books import Books, keeping
from on_ray.nodes import nodes_of
from on_ray.runs import started
from real.environments import CannotInstall, environment

KEY = "canary-of-ray-1d8f3b7c"

_LISTS = (
    "actors",
    "jobs",
    "nodes",
    "objects",
    "placement-groups",
    "runtime-envs",
    "tasks",
    "workers",
    "cluster-events",
)

_TOKEN = {"Authorization": f"Bearer {os.environ['RAY_AUTH_TOKEN']}"}
"""Of the cluster, which the tests' own `conftest` has made."""

_PAGES = (
    *("/api/v0/" + each.replace("-", "_") + "?detail=1&limit=10000" for each in _LISTS),
    *(
        "/api/jobs/",
        "/logical/actors",
        "/nodes?view=summary",
        "/api/cluster_status",
        "/api/serve/applications/",
    ),
)


def test_the_key_is_handed_over_and_shown_nowhere(tmp_path: Path) -> None:
    """The nodes do not have it, so it is an argument of a call; the run still runs while Ray is asked."""
    try:
        python = environment("ray").python  # with the dashboard, which plain Ray does not have
    except CannotInstall as problem:
        pytest.skip(str(problem))
    with (
        nodes_of(1, python=python, has_dashboard=True, PYTHONPATH=str(ROOT)) as nodes,
        keeping(Books(10, (0.3, 0.5)), nodes.data_address) as books,
    ):
        run = started(tmp_path / "run", nodes, books, 1_500, python=python, OPENAI_API_KEY=KEY)
        run.wait_until(lambda: books.answered > 20)
        shown, denied = {}, []
        for name in ("actors", "tasks", "runtime-envs"):  # it asks the dashboard too, and takes seconds for each
            command = [nodes.python, "-m", "ray.scripts.scripts", "list", name, "--detail", "--format", "json"]
            asked = subprocess.run(
                [*command, "--address", nodes.dashboard], capture_output=True, timeout=120, check=False
            )
            shown[f"ray list {name}"] = asked.stdout + asked.stderr
        for page in _PAGES:
            asking = urllib.request.Request(f"{nodes.dashboard}{page}", headers=_TOKEN)
            try:
                with urllib.request.urlopen(asking, timeout=120) as answer:
                    shown[page] = answer.read()
            except urllib.error.HTTPError as problem:
                shown[page] = problem.read()
                denied += [page] if problem.code in (401, 403) else []
        assert run.wait() == 0, run.text
        assert books.keys == {f"Bearer {KEY}"}
        for path in nodes.folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                shown[str(path)] = path.read_bytes()
        actors = json.loads(shown["ray list actors"])
        pages = [name for name, text in shown.items() if "actors" in name and b"Actor" not in text]
    print({name: len(text) for name, text in shown.items() if not name.startswith("/tmp")})
    assert any(each["class_name"] == "Actor" for each in actors)  # it was asked, and answered
    assert (pages, denied) == ([], [])
    assert [name for name, text in shown.items() if KEY.encode() in text] == []
    assert KEY not in run.text
