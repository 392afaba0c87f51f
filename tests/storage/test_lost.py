"""What is left of a run whose checkpoint is gone."""

import json
from pathlib import Path

import pytest

from batchrun.storage.lost import lost_text, no_run


@pytest.mark.parametrize(
    ("settled", "flags"), [(0, "--yes: it sends all"), (5, "--restart and --yes: it sends all")], ids=["none", "some"]
)
def test_batches_at_the_provider_whose_files_are_gone_are_named(tmp_path: Path, settled: int, flags: str) -> None:
    batches = [
        {"number": number, "id": f"batch_{number}", "status": "in_progress", "requests": 9} for number in range(5)
    ]
    summary = {"completed": settled, "failed": 0, "batches": {"open": batches}}
    (tmp_path / "run.json").write_text(json.dumps(summary))
    text = lost_text(tmp_path)
    named = "batch_0, batch_1, batch_2, 2 more"
    assert f"run.json lists 5 batches with 45 requests at the provider ({named}), whose files are gone too" in text
    assert text.endswith(f"; put it back from a copy, or run the job again with {flags} rows again")


@pytest.mark.parametrize(
    ("settled", "batches", "is_empty", "text"),
    [
        (None, 0, False, ""),
        (0, 0, True, ""),
        (
            1,
            0,
            False,
            "is gone; run.json counts 1 settled row; put it back from a copy, or run the job again with "
            "--restart: it sends all rows again",
        ),
        (
            0,
            1,
            True,
            "is empty; batches/ has the files of 1 batch; run the job again: it finds what is under way by these files",
        ),
        (
            2_000,
            2,
            False,
            "is gone; run.json counts 2,000 settled rows and batches/ has the files of 2 batches; put it back from a "
            "copy, or run the job again with --restart: it finds what is under way by these files, and sends all other "
            "rows again",
        ),
    ],
)
def test_what_is_left_is_named_with_the_command_that_goes_on(
    tmp_path: Path, settled: int | None, batches: int, is_empty: bool, text: str
) -> None:
    if settled is not None:
        (tmp_path / "run.json").write_text(f'{{"completed": {settled}, "failed": 0}}')
    (tmp_path / "batches").mkdir()
    for number in range(batches):
        (tmp_path / f"batches/{number:04}.jsonl").touch()
    path = tmp_path / "checkpoint.sqlite"
    if is_empty:
        path.touch()
    assert lost_text(tmp_path) == (f"{path}: {text}" if text else "")
    assert str(no_run(tmp_path)) == (
        f"{path}: {text}" if text else f"{tmp_path}: holds no run (no {path.name}); give the directory of a run"
    )
