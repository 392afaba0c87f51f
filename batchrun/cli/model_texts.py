"""What is known about the models of an endpoint: as a table for people, and as JSON for scripts."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from batchrun.job.catalogue import ModelPrice, load_prices, retirement_of

_UNKNOWN = "–"

_HEADINGS = ("model", "in", "cached", "out", "context", "end of life")


def model_lines(names: Sequence[str], provider: str, today: date) -> Iterator[str]:
    """Yield a table of the models that an endpoint serves; only their names where nothing else is known of any.

    Args:
        names: of the models.
        provider: of the endpoint: the catalogue has only what `wandb` serves.
        today: the date.
    """
    rows = [_cells(name, today) for name in names] if provider == "wandb" else []
    if not any(cell != _UNKNOWN for row in rows for cell in row[1:]):
        yield from names
        return
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for first, *numbers, end in [_HEADINGS, *rows]:
        aligned = (f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:-1], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *aligned, end])
    prices = load_prices()
    as_of = max(prices[name].as_of for name in names if name in prices)
    yield f"in, cached, out: USD per million tokens, as of {as_of}; context in tokens; {_UNKNOWN} not known"


def model_details(names: Sequence[str], provider: str, today: date) -> list[dict[str, Any]]:
    """Return what is known of each model; null where a value is not known."""
    return [_details(name, today) if provider == "wandb" else _details("", today) | {"model": name} for name in names]


def _details(name: str, today: date) -> dict[str, Any]:
    known, end = load_prices().get(name), retirement_of(name, today)
    facts = ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok", "context_tokens")
    return {
        "model": name,
        **{fact: getattr(known, fact, None) for fact in facts},
        "retires_on": end and end.on.isoformat(),
        "replaced_by": end and end.replaced_by,
    }


def _cells(name: str, today: date) -> tuple[str, ...]:
    known = load_prices().get(name)
    return (name, *([_UNKNOWN] * 4 if known is None else _numbers(known)), _end_text(name, today))


def _numbers(known: ModelPrice) -> list[str]:
    usd = (known.input_usd_per_mtok, known.cached_input_usd_per_mtok, known.output_usd_per_mtok)
    tokens = _UNKNOWN if known.context_tokens is None else f"{known.context_tokens:,}"
    return [*(_UNKNOWN if each is None else f"{each:g}" for each in usd), tokens]


def _end_text(name: str, today: date) -> str:
    end = retirement_of(name, today)
    if end is None:
        return _UNKNOWN
    return f"{end.on}, then {end.replaced_by}" if end.replaced_by else str(end.on)
