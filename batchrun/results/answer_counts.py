"""Counts, by model, completed rows whose answer may be of no use: empty, cut off, refused, ended oddly."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_LOUD_SHARE = 0.03
"""From this share of the completed rows on, empty answers are a warning and no longer a note."""

_USUAL = frozenset(
    {"stop", "length", "tool_calls", "function_call", "none", ""}
    | {"end_turn", "stop_sequence", "tool_use", "eos", "eos_token", "complete", "completed"}
)
"""Finish reasons of an answer that came to its end, in lower case; `length` has its own line. All others are named."""

_MOST_REASONS = 20
_REASON_CHARS = 40
"""How many finish reasons are counted separately, and how much of each is shown: servers may write anything."""

_CURES = {
    "length": "raise max_tokens: reasoning models use tokens before they answer",
    "content_filter": "the endpoint's content filter withheld {}",
}
"""Finish reason → what explains answers without text; braces stand for which of them."""


_IN_NO_SUM = "their cost is not known, and no total has it; a cap counts the most that they can have cost"


_READ = (
    *("model", "response", "tool_calls", "refusal", "finish_reason"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"),
)
"""Columns of the results that the counts are made of."""


_BLANKS = " \t\n\f\r"


class AnswerCounts:
    """The counts over all rows of some results."""

    def __init__(self) -> None:
        self._completed: Counter[str] = Counter()
        self._empty: dict[str, Counter[str]] = {}
        self._unusual: dict[str, Counter[str]] = {}
        self._flagged: dict[str, Counter[str]] = {}

    def add(self, columns: Mapping[str, pa.Array], are_texts: Sequence[bool] = ()) -> None:
        """Count some rows; `columns` are those of the results, `are_texts` says which answers are, if not all are."""
        here = {name: columns[name] for name in _READ}
        completed = pc.equal(columns["status"], "completed")
        is_text = pa.array(are_texts, pa.bool_()) if are_texts else None
        if not pc.all(completed).as_py():  # usually they all are
            here = {name: array.filter(completed) for name, array in here.items()}
            is_text = None if is_text is None else is_text.filter(completed)
        models = here["model"]
        self._completed.update(_counted(models))
        text = pc.ascii_ltrim(here["response"], characters=_BLANKS)  # a regular expression takes three times as long
        no_text = pc.fill_null(pc.equal(pc.binary_length(text), 0), True)
        has_no_call = pc.and_(pc.is_null(here["tool_calls"]), pc.is_null(here["refusal"]))
        empty = pc.and_(no_text, has_no_call)
        if is_text is not None:
            empty = pc.and_(empty, is_text)
        reasons = pc.fill_null(here["finish_reason"], "none")
        is_usual = pc.is_in(pc.utf8_lower(reasons), pa.array(sorted(_USUAL)))
        unusual = pc.and_(pc.invert(empty), pc.invert(is_usual))
        for which, found in ((empty, self._empty), (unusual, self._unusual)):
            for model, reason in zip(models.filter(which).to_pylist(), reasons.filter(which).to_pylist(), strict=True):
                _count(found.setdefault(model, Counter()), reason)
        for name, flag in _flags(here).items():
            for model, count in _counted(models.filter(flag)).items():
                self._flagged.setdefault(model, Counter())[name] += count

    def table(self) -> list[dict[str, Any]]:
        """Return one entry per model."""
        return [
            {
                "model": model,
                "completed": completed,
                "empty": dict(self._empty.get(model, Counter()).most_common()),
                "unusual": dict(self._unusual.get(model, Counter()).most_common()),
                **{name: self._flagged.get(model, Counter())[name] for name in _FLAGS},
            }
            for model, completed in self._completed.items()
        ]


_FLAGS = ("cut_off", "refused", "unstated", "partly_stated", "contradictory")


def _flags(columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Return, for each of `_FLAGS`, which rows have it."""
    prompt, completion = columns["prompt_tokens"], columns["completion_tokens"]
    odd = (
        pc.less(columns["total_tokens"], pc.add(prompt, completion)),
        pc.greater(columns["cached_tokens"], prompt),
        pc.greater(columns["reasoning_tokens"], completion),
    )
    contradictory, *others = (pc.fill_null(each, False) for each in odd)
    for each in others:
        contradictory = pc.or_(contradictory, each)
    unstated = pc.or_(pc.is_null(prompt), pc.is_null(completion))
    has_some = pc.is_valid(columns["total_tokens"])
    for each in (prompt, completion):
        has_some = pc.or_(has_some, pc.is_valid(each))
    return {
        "cut_off": pc.fill_null(pc.equal(columns["finish_reason"], "length"), False),
        "refused": pc.is_valid(columns["refusal"]),
        "unstated": unstated,
        "partly_stated": pc.and_(unstated, has_some),
        "contradictory": contradictory,
    }


def _count(found: Counter[str], reason: str) -> None:
    shown = "".join(each if each.isprintable() else " " for each in reason[:_REASON_CHARS])
    found[shown if shown in found or len(found) < _MOST_REASONS else "others"] += 1


def _counted(values: pa.Array) -> Counter[str]:
    return Counter({each["values"]: each["counts"] for each in pc.value_counts(values).to_pylist()})


def answer_lines(answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each thing that is to be known about the completed rows; warnings come first."""
    warnings: list[str] = []
    notes: list[str] = []
    for each in answers:
        whose = f"{each['model']}: " if len(answers) > 1 else ""
        for count, text in (_empty_text(each), _unusual_text(each)):
            if count:
                (warnings if count > _LOUD_SHARE * each["completed"] else notes).append(f"{whose}{text}")
        notes += [f"{whose}{text}" for text in _notes(each)]
    return [*(f"warning: {line}" for line in warnings), *(f"note: {line}" for line in notes)]


def _empty_text(counts: Mapping[str, Any]) -> tuple[int, str]:
    """Return how many answers have no text, and what is to be known about them."""
    count = sum(counts["empty"].values())
    cures = [_CURES[each].format(_which(number, count)) for each, number in counts["empty"].items() if each in _CURES]
    return count, "; ".join([f"{_share(count, counts, 'has', 'have')} no text ({_reasons(counts['empty'])})", *cures])


def _which(part: int, count: int) -> str:
    """Return which of some answers are meant: all of them, or a part."""
    if part < count:
        return f"{part:,} of them"
    return "it" if count == 1 else "them"


def _unusual_text(counts: Mapping[str, Any]) -> tuple[int, str]:
    """Return how many answers have a text and an unusual finish reason, and what is to be known about them."""
    reasons = counts.get("unusual", {})  # not counted by older versions
    count = sum(reasons.values())
    ending = f"{_share(count, counts, 'ends', 'end')} with an unusual finish reason ({_reasons(reasons)})"
    return count, f"{ending}; the text may not be whole"


def _reasons(found: Mapping[str, int]) -> str:
    if len(found) == 1:
        return f"finish_reason {next(iter(found))}"
    return ", ".join(f"{count:,} with finish_reason {reason}" for reason, count in found.items())


def _notes(counts: Mapping[str, Any]) -> Iterable[str]:
    if (cut_off := counts["cut_off"] - counts["empty"].get("length", 0)) > 0:
        share = _share(cut_off, counts, "was", "were")
        yield f"{share} cut off (finish_reason length); raise max_tokens if they should be whole"
    if refused := counts["refused"]:
        what = "a refusal" if refused == 1 else "refusals"
        yield f"{_share(refused, counts, 'is', 'are')} {what}; the column refusal has the words"
    in_part = counts.get("partly_stated", 0)  # not counted by older versions
    if unstated := counts["unstated"] - in_part:
        yield f"{_share(unstated, counts, 'states', 'state')} no token counts; {_IN_NO_SUM}"
    if in_part:
        yield f"{_share(in_part, counts, 'states', 'state')} only a part of the token counts; {_IN_NO_SUM}"
    if contradictory := counts["contradictory"]:
        stating = _share(contradictory, counts, "states", "state")
        yield f"{stating} token counts that do not add up; the larger ones were counted"


def _share(part: int, counts: Mapping[str, Any], verb: str, plural: str) -> str:
    """Return how many of the completed answers do something: 1 of 40 answers has, 1 of 1 answer has."""
    answers = "answer" if counts["completed"] == 1 else "answers"
    return f"{part:,} of {counts['completed']:,} {answers} {verb if part == 1 else plural}"
