"""The settings of a run as the report shows them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchrun.job.evaluate import Evaluate
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Model, Output
from batchrun.report.settings import facts_of, texts_of
from batchrun.results.recorded import Recorded, Status
from batchrun.results.summary import summarize

JOB = Job(
    input=Input(path=("in.jsonl",)),
    model=Model(names=("m", "n"), temperature=0.5, num_samples=3),
    prompt=PromptTemplates(system="Be kind.", user="{{ text }}"),
    evaluate=Evaluate(target="gold", scorer="contains"),
    output=Output(),
)


def facts(scorer: str | None = None, **changes: Any) -> dict[str, str]:
    """Return the settings of a run."""
    return facts_of(summarize(JOB, Path("out"), Status(state="completed"), {}, **changes), JOB, scorer)


def test_settings_are_named_as_in_the_job_file() -> None:
    """Those that are not set are left out."""
    shown = facts()
    assert shown["models"] == "m\nn"
    assert shown["parameters"] == "temperature = 0.5\nnum_samples = 3"
    assert 'target = "gold"' in shown["evaluation"]
    assert "images" not in shown


def test_which_rows_are_used_is_shown() -> None:
    """The seed only where it decides something."""
    given = Input(path=("in.jsonl",), where="stars > 3", limit=9)
    assert _rows(given) == 'where = "stars > 3"\nlimit = 9'
    assert _rows(replace(given, limit=None, where=None, sample=5)) == "sample = 5\nsample_seed = 0"
    assert "rows" not in facts()


def _rows(given: Input) -> str:
    summary = summarize(JOB, Path("out"), Status(state="completed"), {})
    return facts_of(summary, replace(JOB, input=given), None)["rows"]


def test_the_evaluation_of_the_job_is_marked_if_a_function_scored_instead() -> None:
    shown = facts("the function my:score")
    assert "evaluation" not in shown
    assert 'target = "gold"' in shown["evaluation in the job, not used for these results"]


@pytest.mark.parametrize("simulated", [False, True])
def test_a_simulated_run_names_no_endpoint(simulated: bool) -> None:
    """Its answers are made up."""
    assert facts(simulated=simulated)["endpoint"].startswith("simulator" if simulated else "https://")


def test_templates_and_schema_have_headings() -> None:
    """Only those that the job has."""
    assert texts_of(JOB) == {"System message": "Be kind.", "User message": "{{ text }}"}


@pytest.mark.parametrize(
    ("state", "text"), [("completed", "they were sent"), ("stopped", "the same command sends them")]
)
def test_what_was_not_recorded_is_sent_again_only_while_the_run_is_not_finished(state: str, text: str) -> None:
    shown = facts_of(summarize(JOB, Path("out"), Status(state=state), {}, recorded=Recorded(unrecorded=2)), JOB, None)
    assert shown["sent, not recorded"] == f"2 rows, when an execution ended; {text} again"
