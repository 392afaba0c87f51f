"""Runs by batches that have lost their files or their checkpoint: what is under way is found again, or asked about."""

import json
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness.by_batch import (
    BY_BATCH,
    MANY,
    Interrupted,
    asked_at,
    assert_bought_once,
    books,
    created,
    lose_checkpoint,
    state,
)
from harness.damage import root_of
from harness.prompts import results, write_prompts


@pytest.mark.parametrize("are_others", [False, True])
def test_batches_are_collected_though_their_files_are_gone(
    are_others: bool, run: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    """A power cut may lose the name of their folder. Files of others, which a cut may bring back, leave with them."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    interrupted()
    shutil.rmtree("out/batches")
    if are_others:
        Path("out/batches").mkdir()
        for name in ("0000.jsonl", "0000.output.jsonl", "0000.errors.jsonl.part"):
            Path("out/batches", name).touch()
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)
    assert not Path("out/batches").exists()


def test_without_its_checkpoint_status_names_the_files_of_batches_and_the_same_command_goes_on(
    run: Any, batchrun: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    assert "the same command collects the answers, --cancel cancels it" in interrupted().stderr
    lose_checkpoint()
    status = batchrun("status", "out")
    assert status.code == 3
    assert (
        "out/checkpoint.sqlite: is gone; batches/ has the files of 1 batch; "
        "run the job again: it finds what is under way by these files" in status.stderr
    )
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


def test_without_its_checkpoint_and_with_settled_rows_a_restart_finds_what_is_under_way(
    run: Any, batchrun: Any, when: Any, endpoint: Any
) -> None:
    """As status says: only rows of batches that were collected are sent again."""
    write_prompts(*MANY[:10])
    assert run(*BY_BATCH).code == 0
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    endpoint.stats.answered_by_request.clear()
    when(lambda: books(endpoint)["answered"] > 10, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert run(*BY_BATCH).code == 130
    lose_checkpoint()
    status = batchrun("status", "out")
    assert "run.json counts 10 settled rows and batches/ has the files of 1 batch" in status.stderr
    assert "--restart: it finds what is under way by these files, and sends all other rows again" in status.stderr
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH, "--restart").code == 0
    assert books(endpoint)["created"] == 3
    assert len(results()) == 40
    assert_bought_once(endpoint)


def test_without_its_checkpoint_and_the_files_of_its_batches_a_run_asks_before_it_buys_all_again(
    run: Any, batchrun: Any, interrupted: Interrupted, endpoint: Any
) -> None:
    """What is open at the provider is named: it can be cancelled there."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    interrupted()
    lose_checkpoint()
    shutil.rmtree("out/batches")
    [name] = [each.id for each in created(endpoint)]
    listed = f"run.json lists 1 batch with 40 requests at the provider ({name})"
    for flags in ([], ["--restart"], ["--cancel"]):
        refused = run(*BY_BATCH, *flags)
        assert refused.code == 2
        assert f"{listed}, and neither batches/ nor a sound checkpoint.sqlite is left" in refused.stderr
        assert "add --yes to send the rows again" in refused.stderr
    assert listed in batchrun("check", *BY_BATCH, *asked_at(endpoint)).stderr
    assert listed in batchrun("status", "out").stderr
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH, "--yes").code == 0
    assert books(endpoint)["created"] == 2
    assert run(*BY_BATCH).code == 0


@pytest.mark.parametrize("table", ["executions", "outcomes", "batches", "batch_lines"])
def test_batches_under_way_are_not_forgotten_by_a_salvage(
    run: Any, batchrun: Any, spawn: Any, endpoint: Any, table: str
) -> None:
    """Also where the damage is in their own tables: the files of the batches show what is in them."""
    endpoint.change(batch_lines_per_s=20)
    lines = [{"custom_id": f"label-{number}", "prompt": prompt} for number, prompt in enumerate(MANY)]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = (*BY_BATCH, "--batch-requests", "20", *asked_at(endpoint))
    process = spawn("run", *command)
    endpoint.wait(lambda: books(endpoint)["answered"] > 4)
    process.kill()
    process.communicate()
    path = Path("out/checkpoint.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    number = root_of(path, table)
    content[(number - 1) * page_bytes : number * page_bytes] = bytes(page_bytes)
    path.write_bytes(content)
    assert run(*BY_BATCH).code == 3
    assert batchrun("export", "out", "--salvage").code == 0
    finished = run(*BY_BATCH)
    assert finished.code == 0
    assert "the job or the input has changed" not in finished.stderr  # what it was made from is lost, no more
    assert "the checkpoint was salvaged: reading the whole input" in finished.stderr
    assert books(endpoint)["created"] == 2
    assert_bought_once(endpoint)
    assert [row["custom_id"] for row in results()] == [line["custom_id"] for line in lines]
    assert state()["completed"] == 40
