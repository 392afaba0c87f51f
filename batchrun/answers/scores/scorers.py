"""Scores one answer: a built-in scorer compares its text with a target, or a user's function returns the score. Pure.

A built-in scorer gives 1.0 or 0.0, and null when there is nothing to score: the row failed, or has no target. Texts are
compared without white space around them; case matters. A score keeps the prediction, which is the text found in the
answer: tables of labels are made of predictions.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from batchrun.answers.objects import find_objects
from batchrun.answers.scores.numerals import last_number, number_text
from batchrun.errors import JobError


class Score(NamedTuple):
    """The score of one answer, and what was compared."""

    value: float | None = None
    """None when there is nothing to score. Built-in scorers give 1.0 and 0.0."""
    prediction: str | None = None
    """The text found in the answer, in its normal form; None when nothing was found."""
    target: str | None = None
    """The right text, in its normal form; None when the row has no target."""


NO_SCORE = Score()


class Scorer(Protocol):
    """A built-in scorer."""

    def __call__(self, answer: str | None, target: Any) -> Score:
        """Score an answer. Never raises.

        Args:
            answer: its text, empty when a completed row has no text; None when the row failed.
            target: the value of the target column, of any type. Null, NaN and blank text count as missing.
        """
        ...


_Find = Callable[[str], str | None]
"""Finds the part of a text to compare; None when there is no such part."""


def scorer_for(name: str, *, pattern: str | None = None, field: str | None = None) -> Scorer:
    r"""Return a built-in scorer.

    Args:
        name: `exact`: the answer is the target. `contains`: the target is in the answer. `number`: the last number of
            the answer equals the last number of the target, exactly. `regex`: what the pattern finds is the target.
            `json_field`: a property of the answer's JSON object is the target.
        pattern: for regex: its first group is compared, or its whole first match when it has no group. Python's `re`
            searches it, so a pattern such as `(a+)+$` can take forever; Ctrl-C ends it, and no answer is lost.
        field: for json_field: a property, or a path such as `person.address.0.city`.

    Raises:
        JobError: the pattern or field is missing, is not used by this scorer, or is not a regular expression.
    """
    for key, value, reader in (("pattern", pattern, "regex"), ("field", field, "json_field")):
        if name == reader and not value:
            raise JobError(f"evaluate.{key}: the scorer {reader} needs it")
        if name != reader and value:
            raise JobError(f"evaluate.{key}: only the scorer {reader} uses it, and the scorer is {name}")
    match name:
        case "exact":
            return _Comparison(str.strip, str.strip)
        case "contains":
            return _contains
        case "number":
            return _Comparison(_number, _number)
        case "regex":
            return _Comparison(_first_match(pattern or ""), str.strip)
        case "json_field":
            return _Comparison(_property(field or ""), str.strip)
    raise JobError(f"evaluate.scorer = {name!r}; must be one of exact, contains, number, regex, json_field")


class _Comparison(NamedTuple):
    """Right when the text found in the answer equals the text found in the target."""

    in_answer: _Find
    in_target: _Find

    def __call__(self, answer: str | None, target: Any) -> Score:
        text = target_text(target)
        right = None if text is None else self.in_target(text)
        prediction = None if answer is None else self.in_answer(answer)
        if answer is None or right is None:
            return Score(None, prediction, right)
        return Score(float(prediction == right), prediction, right)


def _contains(answer: str | None, target: Any) -> Score:
    # When the target is not in the answer, the prediction is unknown: there is nothing for a table of labels.
    right = target_text(target)
    return NO_SCORE if answer is None or right is None else Score(float(right in answer))


def target_text(target: Any) -> str | None:
    """Return a target as JSON writes it, and 1 for 1.0; None for null, NaN and blank text.

    Integers arrive as 1.0 when a tool converted a column with nulls to doubles.
    """
    if isinstance(target, float):
        if math.isnan(target):
            return None
        return str(int(target)) if target.is_integer() else str(target)
    if target is None or isinstance(target, str):
        return (target or "").strip() or None
    if isinstance(target, bytes):  # some programs write texts without the mark that they are texts
        try:
            return target.decode().strip() or None
        except UnicodeDecodeError:
            return None
    if not isinstance(target, bool | int | list | dict):
        return str(target)  # a date, a decimal
    try:
        return orjson.dumps(target, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # an integer of more than 64 bits
        return str(target)


def _number(text: str) -> str | None:
    number = last_number(text)
    return None if number is None else number_text(number)


def _first_match(pattern: str) -> _Find:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise JobError(f"evaluate.pattern = {pattern!r}; is not a regular expression: {error}") from error
    except (RecursionError, OverflowError) as error:
        raise JobError("evaluate.pattern: is too large for a regular expression") from error
    group = min(compiled.groups, 1)

    def find(text: str) -> str | None:
        found = compiled.search(text)
        value: str | None = found[group] if found else None
        return None if value is None else value.strip()

    return find


def _property(path: str) -> _Find:
    def find(text: str) -> str | None:
        value = _object_of(text)
        # A property with a dot in its name wins over a path.
        for step in [path] if isinstance(value, dict) and path in value else path.split("."):
            value = _step(value, step)
        return target_text(value)

    return find


def _object_of(text: str) -> Any:
    """Return the text's JSON value, or else the last object in the text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        objects = find_objects(text).objects
        return objects[-1] if objects else None


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    return None


class NamedFunction(NamedTuple):
    """A user's function that scores rows."""

    name: str
    """`module:function`, for messages."""
    function: Callable[[dict[str, Any]], Any]
    """`(row) -> float | bool | None`; None means no score."""


class FunctionScorer:
    """Scores rows by a user's function.

    If the function raises, the row gets no score, the errors are counted, and the first one is kept as a message.
    """

    def __init__(self, function: NamedFunction) -> None:
        """Wrap a function."""
        self.name, self._function = function
        self.errors = 0
        """Rows for which the function raised."""
        self.first_error: str | None = None

    def __call__(self, row: Mapping[str, Any]) -> Score:
        """Score a completed row; the function gets a copy, which it may change."""
        try:
            return Score(_score_value(self._function(dict(row))))
        except (Exception, SystemExit) as error:  # noqa: BLE001  the function is the user's, and may raise anything
            self.errors += 1
            if self.first_error is None:
                self.first_error = f"{self.name} raised {type(error).__name__}: {error}"
            return NO_SCORE


def _score_value(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str | bytes):
        raise TypeError(f"it returned {value!r}; must return a number, True, False or None")
    score = float(value)  # also numpy's numbers and booleans
    if not math.isfinite(score):
        raise ValueError(f"it returned {score}; must return a finite number, True, False or None")
    return score
