"""The text and the JSON that `batchrun compare` prints."""

import shutil
from collections.abc import Iterator
from typing import Any

from batchrun.answers.scores.pairs import PairedScores
from batchrun.cli.table import table_lines, value_text, visible
from batchrun.report.paired import Agreement, ChangedRow, Difference
from batchrun.report.sides import Side
from batchrun.report.texts import counted

_WIDTH = 100
"""Of a table where the terminal does not say how wide it is."""


def comparison_lines(a: Side, b: Side, found: Difference) -> Iterator[str]:
    """Yield a comparison as lines for people."""
    yield f"A         {a.directory}: {a.model}"
    yield f"B         {b.directory}: {b.model}"
    only = [f"{count:,} only in {name}" for name, count in (("A", found.only_a), ("B", found.only_b)) if count]
    yield f"prompts   {'; '.join([f'{found.prompts:,} in both', *only])}"
    if found.other_inputs:
        which = f"{found.other_inputs:,} of these have other values in the columns of the input"
        yield f"note      {which}; if rows are paired wrongly, name a column with --by"
    if not found.compared.inputs:
        yield "note      the results share no column of the input, so nothing shows that these are the same prompts"
    for name, paired in found.scores.items():
        yield f"{name:<9} {_score_text(paired)}"
    for name, agreement in found.labels.items():
        yield f"{name:<9} {_label_text(agreement)}"
    yield f"changed   {_changed_text(found)}"
    yield from _table(found)


def _score_text(paired: PairedScores) -> str:
    if paired.means is None:
        return "no prompt has a score on both sides"
    mean_a, mean_b = paired.means
    interval = "" if paired.interval is None else " (95 %: {:+.4g} to {:+.4g})".format(*paired.interval)
    wins = f"B wins {paired.wins:,}, loses {paired.losses:,}, ties {paired.ties:,}"
    return f"A {mean_a:.4g}, B {mean_b:.4g}; B − A = {paired.difference:+.4g}{interval}; {wins}"


def _label_text(agreement: Agreement) -> str:
    if not agreement.prompts:
        return "no prompt has a label on both sides"
    share = f"{100 * agreement.same / agreement.prompts:.3g} %"
    same = f"the same for {agreement.same:,} of {counted(agreement.prompts, 'prompt')} ({share})"
    return same if agreement.alpha is None else f"{same}; Krippendorff's alpha is {agreement.alpha:.3g}"


def _changed_text(found: Difference) -> str:
    if not found.changed:
        return "no row"
    shown = f"; the first {len(found.first):,}" if len(found.first) < found.changed else ""
    order = ", the largest losses of B first" if any(each.gain < 0 for each in found.first) else ""
    return f"{counted(found.changed, 'row')}{shown}{order}"


def _table(found: Difference) -> Iterator[str]:
    rows = found.first
    if not rows:
        return
    compared = found.compared
    names = ["row", *(["custom_id"] if any(each.a.custom_id != str(each.a.row) for each in rows) else [])]
    names += [f"{side} {name}" for name in compared.scores for side in "AB"]
    names += [f"{side} {name}" for name in compared.labels for side in "AB"]
    cells = []
    for a, b, _ in rows:
        cell = {"row": a.row, "custom_id": a.custom_id}
        for number, name in enumerate(compared.scores):
            cell |= {f"A {name}": a.scores[number], f"B {name}": b.scores[number]}
        for number, name in enumerate(compared.labels):
            one, other = (a.text, b.text) if compared.are_free_texts else (a.labels[number], b.labels[number])
            cell |= {f"A {name}": one, f"B {name}": other}
        cells.append([value_text(name, cell[name]) for name in names])
    for line in table_lines(names, cells, shutil.get_terminal_size((_WIDTH, 0)).columns):
        yield visible(line)


def comparison_entry(a: Side, b: Side, found: Difference) -> dict[str, Any]:
    """Return a comparison as JSON."""
    return {
        "a": {"run": str(a.directory), "model": a.model},
        "b": {"run": str(b.directory), "model": b.model},
        "prompts": found.prompts,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "other_inputs": found.other_inputs,
        "changed": found.changed,
        "scores": [
            {
                "column": name,
                "prompts": each.prompts,
                "means": each.means,
                "difference": each.difference,
                "interval": each.interval and list(each.interval),
                "wins": each.wins,
                "losses": each.losses,
                "ties": each.ties,
            }
            for name, each in found.scores.items()
        ],
        "labels": [
            {"column": name, "prompts": each.prompts, "same": each.same, "alpha": each.alpha}
            for name, each in found.labels.items()
        ],
        "rows": [row_entry(each) for each in found.first],
    }


def row_entry(changed: ChangedRow) -> dict[str, Any]:
    """Return a changed row as JSON."""
    sides = {"a": changed.a, "b": changed.b}
    entries = {
        name: {"row": its.row, "response": its.text, "scores": list(its.scores), "labels": list(its.labels)}
        for name, its in sides.items()
    }
    return {"custom_id": changed.a.custom_id, **entries}
