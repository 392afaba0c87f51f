"""Keeps pyarrow from importing pandas where nobody uses it.

pyarrow imports pandas, if it is installed, as soon as it makes its first array, to recognise pandas's own types. That
takes half a second of each command. Where pandas is really used, such as by a user's scorer, it is imported as ever:
pyarrow asks again when a conversion needs it.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType

_PANDAS = "pandas"
_OURS = "batchrun"

_BETWEEN = frozenset({"importlib", "pyarrow"})
"""Packages whose frames lie between an import and the code that caused it; pyarrow's compiled code has none."""


class _Finder(MetaPathFinder):
    """Finds no pandas for batchrun's own code, which never imports it: it is pyarrow that asks."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _PANDAS and _importer().partition(".")[0] == _OURS:
            raise ModuleNotFoundError(f"No module named {_PANDAS!r}", name=_PANDAS)
        return None  # the other finders look for it


def _importer() -> str:
    """Return the name of the module whose code is importing, or has called pyarrow, which is."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def spare_pandas() -> None:
    """Do so in this process. Only the command line does: in a notebook, pandas is usually there already."""
    if not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
