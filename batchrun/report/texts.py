"""Figures of a run as texts for people. Pure."""

from collections.abc import Mapping
from typing import Any

from batchrun.records import RowCount


def short_count(count: int) -> str:
    """Return a count in at most five characters: 950, 12.3k, 4.56M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            scaled = count / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{unit}"
    return str(count)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: 1 request, 2,000 requests.

    Args:
        count: at least 0.
        noun: its singular.
        plural: of the noun, if it is not made by adding an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


_FEW_NUMBERS = 8
"""A list of more numbers is a vector: people want its length, and how it begins."""


def vector_text(value: Any) -> str | None:
    """Return a long list of numbers in short, or a list of such lists; None for any other value."""
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], list):
        texts = [vector_text(each) for each in value]
        return None if None in texts else ", ".join(map(str, texts))
    if len(value) <= _FEW_NUMBERS or not all(isinstance(each, float) for each in value):
        return None
    return f"[{', '.join(f'{each:.4g}' for each in value[:3])}, …] ({len(value):,} numbers)"


def stated_text(count: int | None) -> str:
    """Return a total of what answers state; None: no answer stated it."""
    return "not stated" if count is None else f"{count:,}"


def tokens_text(prompt_tokens: int | None, completion_tokens: int | None) -> str:
    """Return the tokens that a run has used, as far as its answers state them."""
    if prompt_tokens is None and completion_tokens is None:
        return "no answer states them all"
    return f"{stated_text(prompt_tokens)} in, {stated_text(completion_tokens)} out"


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: 4.2 s, 3 min 20 s, 7 h 05 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def estimated(count: float, thing: str) -> str:
    """Return a number of things of which only a share may be counted: about 3 rows; a whole number is exact."""
    is_exact = abs(count - round(count)) < 0.01
    return counted(round(count), thing) if is_exact else f"about {counted(round(count), thing)}"


def rows_text(count: RowCount) -> str:
    """Return a number of rows; a guess is marked: 2,000 or about 2,000."""
    return f"{count.rows:,}" if count.is_exact else f"about {count.rows:,}"


def left_text(count: RowCount) -> str:
    """Return how many rows are left, as a sentence."""
    return f"{rows_text(count)} {'row is' if count.rows == 1 else 'rows are'} left"


def agreement_text(agreement: Mapping[str, Any]) -> str:
    """Return how far the answers to a prompt agree, as run.json has it under `agreement`."""
    prompts = counted(agreement["prompts"], "prompt")
    if not agreement["prompts"]:
        return f"{agreement['vote']}: no prompt has two answers that can be compared"
    tied = f", and {agreement['tied']:,} {'is' if agreement['tied'] == 1 else 'are'} tied" if agreement["tied"] else ""
    alpha = agreement["alpha"]
    value = "cannot be computed" if alpha is None else f"is {alpha:.3g} ({agreement['metric']})"
    unanimous = f"all answers agree on {agreement['unanimous']:,} of {prompts}{tied}"
    return f"{agreement['vote']}: {unanimous}; Krippendorff's alpha {value}"
