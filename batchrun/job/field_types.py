"""The types of settings that take more than they are read as: `Input(path="rows.csv").path` is a tuple. Pure.

A type checker sees what a constructor takes (`__set__`) and what the field is then (`__get__`). At runtime these are
plain annotations; the check of the setting converts the value.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchrun.job.settings import Section

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

    class Seconds:
        """The same, without None."""

        def __get__(self, section: object, kind: type | None = None) -> float: ...
        def __set__(self, section: object, value: float | str) -> None: ...

    class OptionalTables:
        """Several tables, or None; read as a tuple of dicts."""

        def __get__(self, section: object, kind: type | None = None) -> tuple[dict[str, Any], ...] | None: ...
        def __set__(self, section: object, value: Sequence[Mapping[str, Any]] | None) -> None: ...

    class OptionalTurns:
        """The messages of a conversation, or None; read as a tuple."""

        def __get__(self, section: object, kind: type | None = None) -> tuple[Any, ...] | None: ...
        def __set__(self, section: object, value: Sequence[Any] | None) -> None: ...

    class Scorers:
        """Names of scorers, or a table NAME → scorer, or NAME → its settings; read as the last of these."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, dict[str, str]]: ...
        def __set__(
            self, section: object, value: Sequence[str] | Mapping[str, str] | Mapping[str, Mapping[str, str]]
        ) -> None: ...

    class Scores:
        """A table label → number; read as a dict."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, float]: ...
        def __set__(self, section: object, value: Mapping[str, float]) -> None: ...

    class EndpointTable:
        """Settings of `[endpoint]`, or that section; read as a dict."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, Any]: ...
        def __set__(self, section: object, value: Mapping[str, Any] | Section) -> None: ...

    class NamedTexts:
        """A table name → text, or number; read as a dict of texts."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, str]: ...
        def __set__(self, section: object, value: Mapping[str, str | float]) -> None: ...

    class TextOrTable:
        """A text, or a table name → text; read as a dict."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, str]: ...
        def __set__(self, section: object, value: str | Mapping[str, str]) -> None: ...

    class HeaderTable:
        """A table header → text, or `{"env": VARIABLE}`; read as a dict."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, str | dict[str, str]]: ...
        def __set__(self, section: object, value: Mapping[str, str | Mapping[str, str]]) -> None: ...

    class OptionalNames:
        """One name or several, or a table name → other name, or None; read as a table."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, str] | None: ...
        def __set__(self, section: object, value: str | Sequence[str] | Mapping[str, str] | None) -> None: ...

    class OptionalSchema:
        """A JSON Schema, a model class of pydantic, or None; read as a dict."""

        def __get__(self, section: object, kind: type | None = None) -> dict[str, Any] | None: ...
        def __set__(self, section: object, value: Mapping[str, Any] | type | None) -> None: ...

else:
    Texts = tuple[str, ...]
    OptionalTexts = tuple[str, ...] | None
    PathText = str
    OptionalSeconds = float | None
    Seconds = float
    OptionalTables = tuple[dict[str, Any], ...] | None
    OptionalTurns = tuple[Any, ...] | None
    Scorers = dict[str, dict[str, str]]
    Scores = dict[str, float]
    EndpointTable = dict[str, Any]
    NamedTexts = dict[str, str]
    TextOrTable = dict[str, str]
    HeaderTable = dict[str, str | dict[str, str]]
    OptionalNames = dict[str, str] | None
    OptionalSchema = dict[str, Any] | None
