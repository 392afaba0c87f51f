"""A calendar that stands still: what is known of a model depends on the day."""

import importlib
from datetime import date

import pytest

_MODULES = ("cli.check", "cli.models", "engine.preparation", "endpoint.advice")
"""Where the day is read."""


def stop_calendar(monkeypatch: pytest.MonkeyPatch, day: date) -> None:
    """Have it be this day wherever batchrun asks for the day."""

    class Still(date):
        """A date whose today is always the same."""

        @classmethod
        def today(cls) -> "Still":
            return cls(day.year, day.month, day.day)

    for name in _MODULES:
        monkeypatch.setattr(importlib.import_module(f"batchrun.{name}"), "date", Still)
