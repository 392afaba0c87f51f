"""Libraries that take a second to import, for the few tests that need them: every process collects all tests."""

from importlib import import_module
from typing import Any


class Later:
    """A module that is imported when something of it is asked for."""

    __test__ = False  # pytest asks everything in a module for it

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(import_module(self._name), name)
