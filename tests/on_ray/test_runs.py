"""The same job on a cluster: the same answers; interrupted, continued, capped; and what keeps it from starting."""

import json
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from harness.ray_cluster import MODEL, Run
from on_ray.books import Books, keeping
from on_ray.nodes import Nodes
from on_ray.runs import check_results, started, write_prompts
from on_ray.test_kills import killed

SLOTS = 40

_ENDED = re.compile(
    r"can use up to ([\d,]+) tokens; used so far: ([\d,]+) tokens, up to ([\d,]+) tokens with requests whose tokens"
)
"""What a run says that ends at its cap after workers have died."""


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the columns of the results that do not depend on time."""
    kept = ("id", "response", "status", "model", "prompt_tokens", "completion_tokens", "error")
    table = pq.read_table(folder / "out" / "results.parquet")
    return table.select([name for name in kept if name in table.column_names]).to_pylist()


def test_the_answers_are_those_of_one_process(tmp_path: Path, nodes: Nodes) -> None:
    """All columns that do not depend on time; and the limit is held."""
    tables = []
    with keeping(Books(SLOTS, (0.1, 0.5)), nodes.data_address) as books:
        for name, where in (("here", None), ("there", nodes)):
            run = started(tmp_path / name, where, books, 600)
            assert run.wait() == 0, run.text
            tables.append([row | {"response": row["response"].replace(name, "")} for row in rows_of(tmp_path / name)])
    assert tables[0] == tables[1]
    assert books.peak <= SLOTS


def test_rows_that_workers_make_requests_of_end_as_here(tmp_path: Path, nodes: Nodes) -> None:
    """Two samples, broken rows; then another model is asked too, so that the driver compares the rows of the start."""
    broken = ('{"id": 1}', "no JSON", '{"id": 3, "prompt": 7}', '{"id": 4, "prompt": "x", "params": "y"}')
    lines = [broken[row // 5 % 4] if row % 5 == 4 else f'{{"id": {row}, "prompt": "Say {row}."}}' for row in range(400)]
    tables = []
    for name, where in (("here", None), ("there", nodes)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "prompts.jsonl").write_text("\n".join(lines))
        flags = ("--engine", "ray", "--ray-address", where.address) if where is not None else ()
        with keeping(Books(SLOTS, (0.1, 0.5)), nodes.data_address) as books:
            for rows, models in ((60, ("-m", MODEL)), (400, ("-m", MODEL, "-m", "other/model"))):
                common = ("--base-url", books.base_url, "--allow-http", "--yes", "-o", "out", "--num-samples", 2)
                run = Run(folder, "prompts.jsonl", *models, "--limit", rows, *common, *flags)
                assert run.wait() == 1, run.text
            assert books.answered == 320 * 4
        tables.append(rows_of(folder))
    assert tables[0] == tables[1]
    assert [row["error"] for row in tables[0]].count(None) == 320 * 4
    assert len(tables[0]) == 400 * 4


def test_an_interrupted_run_drains_and_continues_on_one_machine_and_back(tmp_path: Path, nodes: Nodes) -> None:
    """Nothing is bought twice."""
    folder = tmp_path / "run"
    with keeping(Books(SLOTS, (0.3, 1.5)), nodes.data_address) as books:
        for number, where in enumerate((nodes, None, nodes)):
            before = books.answered
            run = started(folder, where, books, 1_500)
            if number < 2:
                run.wait_until(lambda before=before: books.answered > before + 200)
                run.signal(signal.SIGINT)
                assert run.wait() == 130, run.text
        assert run.wait() == 0, run.text
        check_results(folder, 1_500)
        assert books.again == []


def test_a_cap_is_never_passed_while_workers_and_nodes_die(tmp_path: Path, nodes: Nodes) -> None:
    """By the books: the endpoint charges 20 tokens for each answer, received or not."""
    chance, cap = random.Random(5), 20_000
    with keeping(Books(SLOTS, (0.3, 1.5)), nodes.data_address) as books:
        flags = ("--max-tokens-total", cap, "--max-tokens", 10)
        run = started(tmp_path / "run", nodes, books, 3_000, *flags)
        run.wait_until(lambda: books.in_flight > 0)
        while run.process.poll() is None:
            time.sleep(chance.uniform(1, 4))
            killed(chance.choice(nodes.nodes), "node" if chance.random() < 0.2 else "worker", [])
            for each in nodes.nodes:
                each.look()
        assert run.wait() == 5, run.text
        time.sleep(2)
        spent = 20 * books.answered
    lost = json.loads((tmp_path / "run" / "out" / "run.json").read_text())["engine"]["workers_lost"]
    (needed, used, most) = (int(each.replace(",", "")) for each in _ENDED.search(run.text).groups())
    print(f"cap {cap}, spent {spent} by the books, {used} to {most} by the run, {lost} workers lost")
    assert used <= spent <= most <= cap
    assert cap - most < needed  # all of it was given out
    # Each request of a dead worker may have used all that it was allowed: about 13 requests, and as many ahead.
    assert most - used <= lost * 2 * needed * -(-SLOTS // len(nodes.nodes))


def test_wrong_addresses_are_one_line(tmp_path: Path) -> None:
    """With the cure, where it is Ray's client."""
    prompts = write_prompts(tmp_path, 3)
    with keeping(Books(SLOTS, (0.1, 0.5))) as books:
        other = books.base_url.split("/")[2]
        for address, message in (
            ("ray://head:10001", "must be HOST:PORT of the head node"),
            ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1"),
            (other, f"what listens at {other} is not the head of a Ray cluster (it replies 'HTTP/1."),
        ):
            began_s = time.monotonic()
            run = Run(tmp_path, prompts, "-m", MODEL, "--engine", "ray", "--ray-address", address)
            assert run.wait() == 2, run.text
            assert message in run.text
            assert "Traceback" not in run.text
            assert time.monotonic() - began_s < 30  # Ray would try for 40 s
