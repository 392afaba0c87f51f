"""`--then` runs a command of the user's at the end of a run."""

from pathlib import Path
from typing import Any

from harness.prompts import write_prompts

SEEN = 'env | grep "^BATCHRUN_" | sort > seen.env'


def seen() -> dict[str, str]:
    """Return the variables that the command found."""
    return dict(line.split("=", 1) for line in Path("seen.env").read_text().splitlines())


def test_the_command_finds_how_the_run_ended(run: Any) -> None:
    """Its failure is reported and changes nothing; what it prints does not go where scripts read JSON."""
    done = run(write_prompts("a", "[[simulate: 400]]"), "--json", "--then", f"{SEEN}; echo printed; exit 3")
    assert done.code == 1
    assert done.json["completed"] == 1
    assert "note: the command of --then ended with exit code 3" in done.stderr
    assert seen() == {
        "BATCHRUN_STATE": "completed",
        "BATCHRUN_EXIT_CODE": "1",
        "BATCHRUN_ROWS": "2",
        "BATCHRUN_COMPLETED": "1",
        "BATCHRUN_FAILED": "1",
        "BATCHRUN_COST_USD": "",  # this endpoint's price is not known
        "BATCHRUN_DIRECTORY": str(Path("out").absolute()),
        "BATCHRUN_RESULTS": str(Path("out/results.parquet").absolute()),
        "BATCHRUN_MESSAGE": "",
    }


def test_the_command_runs_where_the_run_could_not_start(run: Any) -> None:
    done = run("nothing.jsonl", "--then", SEEN)
    assert done.code == 2
    assert (seen()["BATCHRUN_STATE"], seen()["BATCHRUN_EXIT_CODE"]) == ("failed", "2")
    assert "nothing.jsonl" in seen()["BATCHRUN_MESSAGE"]
