"""How one setting of the job is declared, checked and documented.

A setting is a dataclass field whose metadata hold one line of documentation and a check. The check turns the value as
written, in TOML or as a flag, into the value as used, and raises `ValueError` with what the value must be.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any

BASE_URL_VARIABLE = "OPENAI_BASE_URL"
"""Variable with a base URL, for jobs that name neither a base URL nor W&B. Precedent: OpenAI's own clients."""

Check = Callable[[Any], Any]

_TEAM_PROJECT = re.compile(r"[^/\s:?#%]{1,128}/[^/\\\s:?#%]{1,128}")
"""Source: W&B refuses these characters in the name of a project."""

_OPENAI_PROJECT = re.compile(r"proj_\w+", re.ASCII)
"""Form of the ids of OpenAI's projects."""

PROJECT_CURE = (
    "must be TEAM/PROJECT, such as my-team/my-project; or leave it out and set WANDB_ENTITY and WANDB_PROJECT"
)


def setting(default: Any, doc: str, check: Check, *, key: str | None = None, shown: str | None = None) -> Any:
    """Declare one setting.

    Args:
        default: value when job file and flags do not set it; a callable makes a new one each time.
        doc: one line for users, with unit and range.
        check: see above.
        key: its name in the job file, if that differs from the field's.
        shown: how the reference page prints the default, if its repr would not help.
    """
    metadata = {"doc": doc, "check": check, "key": key, "shown": shown}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def alias(name: str) -> Any:
    """Declare an argument (an `InitVar`) that sets a field under the name that it has in the job file.

    Args:
        name: of the field.
    """
    return field(default=None, metadata={"alias": name})


class SettingError(ValueError):
    """A setting has a wrong value. Has the key, the value and what the value must be."""

    def __init__(self, key: str, value: Any, must: str) -> None:
        super().__init__(f"{key} = {value!r}: {must}")
        self.key, self.value, self.must = key, value, must


class Section:
    """Parent of the job's sections: runs the check of every field, however the section was made."""

    __slots__ = ()

    def __post_init__(self, *aliases: Any) -> None:
        self._set_aliases(aliases)
        for each in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, each.name)
            default = default_of(each)
            if value == default and type(value) is type(default):  # not by value alone: 1 == True, 1 == 1.0
                continue
            try:
                object.__setattr__(self, each.name, each.metadata["check"](value))
            except SettingError as problem:  # of one entry of a table
                raise SettingError(f"{key_of(each)}.{problem.key}", problem.value, problem.must) from None
            except ValueError as problem:
                raise SettingError(key_of(each), value, str(problem)) from None

    def _set_aliases(self, values: tuple[Any, ...]) -> None:
        """Set fields by the arguments that are declared with `alias`; in their order."""
        declared: dict[str, Field[Any]] = type(self).__dataclass_fields__  # type: ignore[attr-defined]  # a dataclass
        names = [name for name, each in declared.items() if "alias" in each.metadata]
        for name, value in zip(names, values, strict=True) if values else ():
            own = declared[declared[name].metadata["alias"]]
            if value is None:
                continue
            if getattr(self, own.name) != default_of(own):
                raise SettingError(name, value, f"must not be set together with {own.name}")
            object.__setattr__(self, own.name, value)


def documented(kind: type[Section]) -> str:
    """Return the docstring of a section with a line for each of its settings, for `help()`."""
    lines = [f"    {key_of(each)}: {each.metadata['doc']}" for each in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    return "\n".join([f"{kind.__doc__}\n", "Settings:", *lines])


def key_of(each: "Field[Any]") -> str:
    """Return a field's name in the job file."""
    return each.metadata["key"] or each.name


def default_of(each: "Field[Any]") -> Any:
    """Return a field's default value."""
    return each.default if each.default_factory is MISSING else each.default_factory()


def text(value: Any) -> str:
    """Accept a string that is not empty, or a path."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty string")
    try:
        value.encode()
    except UnicodeEncodeError:  # such as the name of an old file
        raise ValueError("must be valid UTF-8; rename the file or column") from None
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Accept a string or a list of strings."""
    values = [value] if isinstance(value, str | Path) else value
    if not isinstance(values, list | tuple) or not values:
        raise ValueError("must be a string or a list of strings")
    return tuple(text(each) for each in values)


def one_of(*choices: str) -> Check:
    """Accept only these words."""

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return check


def flag(value: Any) -> bool:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def flag_or(*words: str) -> Check:
    """Accept true, false, and these words."""

    def check(value: Any) -> bool | str:
        if value not in words and not isinstance(value, bool):
            raise ValueError(f"must be true, false or {', '.join(words)}")
        return value  # type: ignore[no-any-return]  # one of the two

    return check


def whole(at_least: int, at_most: int | None = None) -> Check:
    """Accept a whole number within bounds."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("must be a whole number")
        if value < at_least:
            raise ValueError(f"must be at least {at_least}")
        if at_most is not None and value > at_most:
            raise ValueError(f"must be at most {at_most}")
        return value

    return check


def number(*, above: float | None = None, at_least: float | None = None, at_most: float | None = None) -> Check:
    """Accept a finite number within bounds. A whole number has one form: 0 and 0.0 make the same request."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise ValueError("must be a number")
        if above is not None and value <= above:
            raise ValueError(f"must be above {above:g}")
        if at_least is not None and value < at_least:
            raise ValueError(f"must be at least {at_least:g}")
        if at_most is not None and value > at_most:
            raise ValueError(f"must be at most {at_most:g}")
        return int(value) if abs(value) < _EXACT and value == int(value) else value

    return check


_EXACT = 2**53
"""Up to here every whole number is a 64-bit fraction too. Source: IEEE 754."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def duration_s(value: Any) -> float:
    """Accept `8h`, `1h30m`, `45s`, or a number of seconds; above zero. Returns seconds."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.replace(" ", "").lower())
        if not found or not any(found.groups()):
            raise ValueError("must be a duration such as 8h, 1h30m or 45s")
        scales = (86_400, 3_600, 60, 1)
        value = sum(float(part) * scale for part, scale in zip(found.groups(), scales, strict=True) if part)
    return float(number(above=0)(value))


def clock_time(value: Any) -> str:
    """Accept a time of day as `HH:MM`."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", value) if isinstance(value, str) else None
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError("must be a time of day such as 07:30")
    return f"{int(found[1]):02}:{found[2]}"


def header_text(value: Any) -> str:
    """Accept a string that every HTTP header takes. Source: RFC 9110, 5.5: letters beyond ASCII are opaque bytes."""
    if not text(value).isprintable() or value != value.strip():
        raise ValueError("must be a string without line breaks, control characters or surrounding spaces")
    if not value.isascii():
        wrong = next(letter for letter in value if not letter.isascii())
        raise ValueError(f"must be a string of ASCII letters: no HTTP header takes {wrong}")
    return str(value)


def refuse_path(value: Any) -> None:
    """Refuse the path of a file where a section that is made in Python has what the file holds."""
    if isinstance(value, str | Path):
        raise ValueError("must be what the file holds: job files and `answer` read files, a section in Python does not")


def json_schema(value: Any) -> dict[str, Any]:
    """Accept a TOML table, or a model class of pydantic."""
    refuse_path(value)
    return table(value.model_json_schema() if hasattr(value, "model_json_schema") else value)


def table(value: Any) -> dict[str, Any]:
    """Accept a TOML table."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a table")
    return dict(value)


def booked_project(value: Any) -> str:
    """Accept a project to which usage is booked: one of W&B with its team, or the id of one of OpenAI's."""
    if not (_TEAM_PROJECT.fullmatch(header_text(value)) or _OPENAI_PROJECT.fullmatch(value)):
        raise ValueError(PROJECT_CURE)
    return str(value)


def team_project(value: Any) -> str:
    """Accept a W&B project with its team."""
    if not isinstance(value, str) or not _TEAM_PROJECT.fullmatch(value):
        raise ValueError("must be TEAM/PROJECT, such as my-team/my-project")
    return value
