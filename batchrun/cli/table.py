"""Values and tables as text for a terminal: nothing that the terminal would obey, and no line wider than it."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from batchrun.job.catalogue import usd_text
from batchrun.report.texts import vector_text

_GAP = "  "

_LEAST_WIDTH = 4
"""Narrowest column: a letter and the mark of a cut say little."""

_MOST_CHARS = 2_000
"""Of a cell that are looked at: no terminal is as wide."""

_JOINERS = "\u200c\u200d"
"""Invisible letters that scripts and emoji need."""

_CUT = "…"


def visible(text: str) -> str:
    """Return a text without characters that a terminal would obey: `\\x1b` takes the place of escape.

    Line breaks and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(each if each in "\n\t" or _is_shown(each) else ascii(each)[1:-1] for each in text)


def printable_json(data: bytes) -> str:
    r"""Return JSON with `\u…` for characters that are not printable: its values stay the same."""
    text = data.decode()
    return text if text.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(letter: str) -> str:
    units = letter.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _is_shown(letter: str) -> bool:
    # Controls, directions of writing that hide text, halves of letters, separators of lines.
    return letter in _JOINERS or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def value_text(name: str, value: Any) -> str:
    """Return a value of the results as text: empty for null, JSON for lists and objects, floats with four digits.

    Args:
        name: of its column.
        value: as Arrow gives it to Python.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return usd_text(value) if name == "cost_usd" else _float_text(value)
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if (shown := vector_text(value)) is not None:
        return shown
    if isinstance(value, list | dict):
        return visible(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode())
    return str(value)


def _float_text(value: float) -> str:
    text = f"{value:.4g}"
    return text if "e" not in text else f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else text


def table_lines(names: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """Return a head, a rule and one line per row.

    Args:
        names: of the columns.
        rows: the cells of each row.
        width: of the terminal, in cells. Columns that do not fit are cut, the widest ones first.
    """
    lines = [[_one_line(cell) for cell in row] for row in [list(map(visible, names)), *rows]]
    natural = [max(_width(cell) for cell in cells) for cells in zip(*lines, strict=True)]
    widths = _fitting(natural, width - len(_GAP) * (len(names) - 1))
    rule = ["-" * min(_width(name), wide) for name, wide in zip(lines[0], widths, strict=True)]
    joined = (_GAP.join(map(_fitted, line, widths)) for line in [lines[0], rule, *lines[1:]])
    return [_fitted(line.rstrip(), width).rstrip() for line in joined]  # many columns in few cells


def _one_line(text: str) -> str:
    return " ".join(text[:_MOST_CHARS].split())


def _fitting(natural: Sequence[int], room: int) -> list[int]:
    """Return widths that add up to at most `room`: narrow columns in full, the rest shared by the wide ones."""
    widths = [0] * len(natural)
    left = room
    narrowest_first = sorted(range(len(natural)), key=lambda place: natural[place])
    for count, place in enumerate(narrowest_first):
        share = left // (len(natural) - count)
        widths[place] = min(natural[place], max(share, _LEAST_WIDTH))
        left -= widths[place]
    return widths


def _fitted(text: str, width: int) -> str:
    """Return a text of exactly this width."""
    shown = _width(text)
    if shown <= width:
        return text + " " * (width - shown)
    kept, used = "", 0
    for letter in text:
        wide = _width(letter)
        if used + wide > width - len(_CUT):
            break
        kept, used = kept + letter, used + wide
    return kept + _CUT + " " * (width - used - len(_CUT))


def _width(text: str) -> int:
    """Return how many cells of a terminal a text takes: two for a wide letter, none for a mark over another."""
    if text.isascii():
        return len(text)
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
