"""How a job is run: plain values become what the engine asks."""

from typing import Any

import pytest

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.engine.options import Options
from batchrun.errors import JobError
from batchrun.report.bar import Lines, Silence
from batchrun.report.notebook_bar import Widget


def score(row: dict[str, Any]) -> bool:
    return bool(row)


def test_a_plain_function_scores_under_its_own_name() -> None:
    """A function that has a name already keeps it."""
    assert Options(scorer=score).scorer == NamedFunction("score", score)
    assert Options(scorer=NamedFunction("scorers:score", score)).scorer == NamedFunction("scorers:score", score)
    assert Options().scorer is None


@pytest.mark.parametrize("name", ["restart", "retry_failed", "simulate", "agree", "scorer"])
def test_a_value_of_another_type_is_refused(name: str) -> None:
    """A text is true in Python, whatever it says."""
    with pytest.raises(JobError, match=f"^{name} = 'no'; must be "):
        Options(**{name: "no"})  # type: ignore[arg-type]  # what is tested


def test_agreement_is_a_value_or_a_function() -> None:
    assert [Options(agree=value).agree("?") for value in (True, False)] == [True, False]
    assert Options(agree=lambda question: question == "?").agree("?")
    assert not Options().agree("?")


@pytest.mark.parametrize(
    ("in_notebook", "kinds"), [(False, [Silence, Silence, Lines]), (True, [Widget, Silence, Widget])]
)
def test_progress_is_shown_in_notebooks_and_where_it_is_asked_for(
    in_notebook: bool, kinds: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchrun.engine.options.is_notebook", lambda: in_notebook)
    assert [type(Options(progress=value).progress) for value in (None, False, True)] == kinds
    shown = Silence()
    assert Options(progress=shown).progress is shown
