"""A message names what was typed."""

import pytest

from batchrun.cli.typed_names import TypedNames
from batchrun.errors import JobError


@pytest.mark.parametrize(
    ("flags", "message", "text"),
    [
        ({"template": "x"}, "no column q, which prompt.user names;", "no column q, which -t names;"),
        ({"template": "x"}, "prompt.user cannot be rendered", "-t cannot be rendered"),
        ({"id": "q"}, "no column q, which input.id names", "no column q, which --id names"),
        ({"id": "q"}, "no column q, which prompt.user names", "no column q, which prompt.user names"),
        ({"id": None, "model": ()}, "input.id and model.names", "input.id and model.names"),
        ({"strict": False}, "input.strict is set", "--strict is set"),
        ({"max_tokens": 5}, "model.max_tokens changed: and model.max_tokens_total", None),
        ({"template": "x"}, "see runs/prompt.user, prompt.user.x and my.prompt.user", None),
    ],
)
def test_a_setting_is_called_by_the_flag_that_sets_it(flags: dict[str, object], message: str, text: str | None) -> None:
    """Only where it was given, and only whole names."""
    expected = message.replace("model.max_tokens changed", "--max-tokens changed") if text is None else text
    names = TypedNames(flags)
    assert names.text(message) == expected
    assert names.texts([message]) == [expected]
    assert str(names.error(JobError(message))) == expected


def test_without_a_job_file_every_setting_is_called_by_its_flag() -> None:
    """Settings without a flag keep their names; with a job file only the flags that were given count."""
    message = "evaluate.pattern and response.repair_attempts"
    assert TypedNames({}, ["in.jsonl"]).text(message) == "--pattern and response.repair_attempts"
    assert TypedNames({}, ["job.toml"]).text(message) == message
