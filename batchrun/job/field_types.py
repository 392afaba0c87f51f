"""The types of settings that take more than they are read as: `Input(path="rows.csv").path` is a tuple. Pure.

A type checker sees what a constructor takes (`__set__`) and what the field is then (`__get__`). At runtime these are
plain annotations; the check of the setting converts the value.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class Texts:
        """One text or several, also as paths; read as a tuple."""

        def __get__(self, section: object, kind: type | None = None) -> tuple[str, ...]: ...
        def __set__(self, section: object, value: str | Path | Sequence[str | Path]) -> None: ...

    class OptionalTexts:
        """The same, or None."""

        def __get__(self, section: object, kind: type | None = None) -> tuple[str, ...] | None: ...
        def __set__(self, section: object, value: str | Sequence[str] | None) -> None: ...

    class PathText:
        """A path; read as a text."""

        def __get__(self, section: object, kind: type | None = None) -> str: ...
        def __set__(self, section: object, value: str | Path) -> None: ...

    class OptionalSeconds:
        """A duration such as `8h`, or a number of seconds, or None; read as seconds."""

        def __get__(self, section: object, kind: type | None = None) -> float | None: ...
        def __set__(self, section: object, value: float | str | None) -> None: ...

    class OptionalSchema:
        """A JSON Schema, a model class of pydantic, or None; read as a dict."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, Any] | None: ...
        def __set__(self, section: object, value: Mapping[str, Any] | type | None) -> None: ...

else:
    Texts = tuple[str, ...]
    OptionalTexts = tuple[str, ...] | None
    PathText = str
    OptionalSeconds = float | None
    OptionalSchema = dict[str, Any] | None
