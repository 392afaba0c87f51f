"""`[evaluate]`: how answers are scored, and how far they agree."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchrun.job.field_types import Scorers
from batchrun.job.settings import Section, SettingError, one_of, setting, text

SCORERS = ("exact", "contains", "number", "regex", "json_field")
"""The built-in scorers."""

SCORE = "score"
"""Column of `[evaluate] scorer`; each of the `scorers` has `score_NAME`."""

PREDICTION = "prediction"
"""Value of `vote`: what the scorer finds in the answer."""

_SETTINGS = ("target", "scorer", "pattern", "field")

_NAME = re.compile(r"\w{1,64}", re.ASCII)


def _scorers(value: Any) -> dict[str, dict[str, str]]:
    """Accept a list of built-in scorers, or a table NAME → scorer, or NAME → table with its settings."""
    if isinstance(value, list | tuple):
        value = {each if isinstance(each, str) else "": each for each in value}
    if not isinstance(value, Mapping) or not value:
        raise ValueError('must be a list such as ["number", "contains"], or a table such as { loose = "contains" }')
    return {_scorer_name(name): _scorer(name, each) for name, each in value.items()}


def _scorer_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must have names of letters, digits and _, which become columns: score_NAME")
    return name


def _scorer(name: str, value: Any) -> dict[str, str]:
    stated = {"scorer": value} if isinstance(value, str) else value
    if not isinstance(stated, Mapping):
        raise ValueError(f"must have a scorer, or a table with its settings, for {name}")
    if unknown := [key for key in stated if key not in _SETTINGS]:
        raise ValueError(f"must have only {', '.join(_SETTINGS)} for {name}, not {unknown[0]}")
    for key, each in stated.items():
        try:
            (one_of(*SCORERS) if key == "scorer" else text)(each)
        except ValueError as problem:
            raise ValueError(f"{problem} in {name}.{key}") from None
    return {key: str(each) for key, each in stated.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate(Section):
    """`[evaluate]`: how answers are scored. Nothing is sent for it, and it costs nothing."""

    target: str | None = setting(None, "column with the right answer", text)
    scorer: str = setting(
        "exact", "how an answer is compared: exact, contains, number, regex or json_field", one_of(*SCORERS)
    )
    pattern: str | None = setting(None, "for regex: the first group, or the whole first match, is compared", text)
    field: str | None = setting(None, "for json_field: the property of the answer that is compared", text)
    scorers: Scorers = setting(
        dict,
        "more scorers, each with a column `score_NAME`: a list of names, or a table NAME → scorer, or NAME → table with"
        " `scorer`, `pattern`, `field`, `target`",
        _scorers,
        shown="–",
    )
    by: str | None = setting(None, "column of the input whose values are groups; each group gets scores too", text)
    vote: str | None = setting(
        None,
        "what the answers to a prompt vote on: a property of the schema, `response`, or `prediction` (what the scorer"
        " finds); adds the columns `vote` and `vote_share`, and Krippendorff's alpha",
        text,
    )

    def __post_init__(self) -> None:
        super(Evaluate, self).__post_init__()
        for name, each in self.scorers.items():
            if self.target is None and "target" not in each:
                raise SettingError("scorers", {name: each}, "must name a target, or set evaluate.target for all")

    def scored(self) -> "dict[str, Evaluate]":
        """Return the columns of scores: name → the settings of its scorer."""
        columns = {} if self.target is None else {SCORE: replace(self, scorers={}, by=None, vote=None)}
        for name, stated in self.scorers.items():
            settings: dict[str, Any] = {"target": self.target, **stated}
            columns[f"{SCORE}_{name}"] = Evaluate(**settings)
        return columns

    @property
    def reads(self) -> tuple[tuple[str, str], ...]:
        """The settings that name columns of the input, each with the column."""
        of_scorers = {f"evaluate.scorers.{name}.target": each.get("target") for name, each in self.scorers.items()}
        needed = {"evaluate.target": self.target, "evaluate.by": self.by, **of_scorers}
        return tuple((setting, name) for setting, name in needed.items() if name is not None)
