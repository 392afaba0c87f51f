"""The keyword arguments that type checkers know."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from harness import keywords

from batchrun.api import calls


def test_they_are_those_of_the_sections() -> None:
    """`make format` would change nothing."""
    written = keywords.PATH.read_text(encoding="utf-8")
    assert written == keywords.text(), "settings have changed: python tests/harness/reference.py"


@pytest.mark.parametrize("call", [calls.answer, calls.aanswer])
def test_both_calls_take_them_and_help_shows_them(call: Callable[..., Any]) -> None:
    """Completion in notebooks reads the signature."""
    assert call.__annotations__["settings"].__args__ == (calls.Settings,)
    assert {"data", "prompt", "out", "model", "schema", *calls.Settings.__annotations__} == set(
        inspect.signature(call).parameters
    )
    assert "max_cost_usd: most USD that the job may cost" in (inspect.getdoc(call) or "")
