"""The keyword arguments that type checkers know."""

import inspect

from harness import keywords

from batchrun.api import calls


def test_they_are_those_of_the_sections() -> None:
    """`make format` would change nothing."""
    written = keywords.PATH.read_text(encoding="utf-8")
    assert written == keywords.text(), "settings have changed: python tests/harness/reference.py"


def test_both_calls_take_them() -> None:
    for call in (calls.answer, calls.aanswer):
        assert inspect.signature(call).parameters["settings"].annotation.__args__ == (calls.Settings,)
