"""What is known about the models of an endpoint: as a table for people, and as JSON for scripts."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from batchrun.job.catalogue import PRICE_KEYS, price_entry, price_of, retirement_of
from batchrun.job.endpoint import Endpoint

_UNKNOWN = "–"

_HEADINGS = ("model", "in", "cached", "out", "context", "end of life")

_USD = PRICE_KEYS[:3]


def model_details(endpoint: Endpoint, names: Sequence[str], today: date) -> list[dict[str, Any]]:
    """Return what is known of each model that an endpoint serves; null where a value is not known."""
    return [_details(endpoint, name, today) for name in names]


def model_lines(details: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table of models; only their names where nothing else is known of any.

    Args:
        details: what `model_details` returned.
    """
    rows = [_cells(each) for each in details]
    if not any(cell != _UNKNOWN for row in rows for cell in row[1:]):
        yield from (each["model"] for each in details)
        return
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for first, *numbers, end in [_HEADINGS, *rows]:
        aligned = (f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:-1], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *aligned, end])
    priced = [each for each in details if each["source"]]
    sources = ", ".join(sorted({urlsplit(each["source"]).hostname or each["source"] for each in priced}))
    notes = [f"in, cached, out: USD per million tokens, as of {priced[0]['as_of']} ({sources})"] if priced else []
    yield "; ".join([*notes, "context in tokens", f"{_UNKNOWN} not known"])


def _details(endpoint: Endpoint, name: str, today: date) -> dict[str, Any]:
    price = price_of(endpoint, name, {})
    end = retirement_of(name, today) if endpoint.provider == "wandb" else None
    return {
        "model": name,
        **(price_entry(price) or dict.fromkeys(PRICE_KEYS)),
        "context_tokens": getattr(price, "context_tokens", None),
        "retires_on": end and end.on.isoformat(),
        "replaced_by": end and end.replaced_by,
    }


def _cells(details: Mapping[str, Any]) -> tuple[str, ...]:
    usd = (details[key] for key in _USD)
    tokens, end = details["context_tokens"], details["retires_on"]
    if end and details["replaced_by"]:
        end = f"{end}, then {details['replaced_by']}"
    return (
        details["model"],
        *(_UNKNOWN if each is None else f"{each:g}" for each in usd),
        _UNKNOWN if tokens is None else f"{tokens:,}",
        end or _UNKNOWN,
    )
