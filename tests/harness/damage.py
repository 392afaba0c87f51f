"""Checkpoints to damage, and ways to do it."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import orjson

from batchrun.checkpoint import facts
from batchrun.checkpoint.salvage.damaged import DamagedFile
from batchrun.checkpoint.salvage.pages import records
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, OUTCOME_COLUMNS
from batchrun.job.sections import Input, Job, Model
from batchrun.job.serialization import job_to_dict
from batchrun.records import Outcome
from harness.checkpoints import answer, requests

PAGE = 4096

JOB = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)))

_WORDS = (5, 40, 400, 2500)
"""Lengths of answers: two of the four need additional pages."""


def answers(count: int, *, first: int = 0, model: str = "m") -> list[Outcome]:
    """Return outcomes whose answers repeat the number of their row."""
    return [
        answer(each, model=model, body=body_of(each.row, model))
        for each in requests(*(f"p{row}" for row in range(first, first + count)), first=first)
    ]


def body_of(row: int, model: str = "m") -> bytes:
    """Return the answer of a row."""
    text = f"{row} " * _WORDS[row % len(_WORDS)]
    return orjson.dumps({"model": model, "choices": [{"message": {"content": text}}]})


def make_checkpoint(directory: Path, count: int = 120) -> list[Outcome]:
    """Write a checkpoint that was closed normally; return its outcomes."""
    outcomes = answers(count)
    with Store(directory) as store:
        write_run(store, outcomes)
    return outcomes


def write_run(store: Store, outcomes: list[Outcome]) -> None:
    """Write everything that a run writes."""
    store.set_fact(facts.JOB, job_to_dict(JOB))
    store.set_fact(facts.ORIGIN, {"job": "j", "input": "i", "limit": None})
    store.set_fact(facts.SETTLED_ROWS, len(outcomes))
    store.set_fact(facts.RESULTS, {"made_of": ["rows", "input"], "files": {}, "found": {}})
    put_all(store, outcomes)


def put_all(store: Store, outcomes: list[Outcome]) -> None:
    """Write outcomes."""
    for each in outcomes:
        store.model_id(each.model)
        store.put(each)
    store._writer.commit(is_last=True)


def make_torn_checkpoint(directory: Path, first: int = 60, second: int = 60) -> list[Outcome]:
    """Write a checkpoint as after a kill: the first outcomes are in the file, the others in its log."""
    made = directory / "made"
    made.mkdir()
    outcomes = answers(first + second)
    with Store(made) as store:
        write_run(store, outcomes[:first])
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for start in range(first, first + second, 10):
            put_all(store, outcomes[start : start + 10])
        for suffix in ("", "-wal"):
            shutil.copy(made / (FILE_NAME + suffix), directory / (FILE_NAME + suffix))
    shutil.rmtree(made)
    return outcomes


def pages_of(path: Path) -> dict[int, set[int]]:
    """Return the pages of each outcome: id → pages, for an undamaged file without a log."""
    touched: set[int] = set()
    places = {}
    with DamagedFile(path, path.with_name("none")) as file:

        def fetch(number: int) -> bytes | None:
            touched.add(number)
            return file._page(number, {})

        for number in range(1, path.stat().st_size // PAGE + 1):
            touched.clear()
            for record in records(number, fetch(number) or b"", fetch, PAGE, path.stat().st_size):
                if len(record.values) == len(OUTCOME_COLUMNS):
                    places[record.rowid or 0] = {number, *touched}
                touched.clear()
    return places


def root_of(path: Path, table: str) -> int:
    """Return the number of the first page of a table."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
    (number,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    connection.close()
    return int(number)


Damage = Callable[[bytearray, Path, Random], object]
"""Changes the bytes of a file, given its path and a random generator."""


def _page(number: int, content: Callable[[Random, int], bytes]) -> Damage:
    def damage(data: bytearray, path: Path, random: Random) -> None:
        data[(number - 1) * PAGE : number * PAGE] = content(random, PAGE)

    return damage


def _noise(random: Random, size: int) -> bytes:
    return random.randbytes(size)


def _zeros(random: Random, size: int) -> bytes:
    return bytes(size)


def _root(table: str, content: Callable[[Random, int], bytes]) -> Damage:
    return lambda data, path, random: _page(root_of(path, table), content)(data, path, random)


def _some_pages(content: Callable[[Random, int], bytes]) -> Damage:
    def damage(data: bytearray, path: Path, random: Random) -> None:
        for number in random.sample(range(2, len(data) // PAGE + 1), 8):
            _page(number, content)(data, path, random)

    return damage


def _header(data: bytearray, path: Path, random: Random) -> None:
    data[:100] = random.randbytes(100)


def _middle(data: bytearray, path: Path, random: Random) -> None:
    third = len(data) // 3
    data[third : 2 * third] = random.randbytes(third)


def _cut(data: bytearray, path: Path, random: Random) -> None:
    del data[len(data) * 2 // 3 :]


def _cut_to_a_page(data: bytearray, path: Path, random: Random) -> None:
    del data[len(data) // PAGE // 2 * PAGE :]


DAMAGES: dict[str, Damage] = {
    "noise in the header": _header,
    "noise in the first page": _page(1, _noise),
    "a first page of zeros": _page(1, _zeros),
    "noise where the outcomes begin": _root("outcomes", _noise),
    "zeros where the outcomes begin": _root("outcomes", _zeros),
    "noise in the facts": _root("facts", _noise),
    "noise in the models": _root("models", _noise),
    "noise in the totals": _root("totals", _noise),
    "pages of noise": _some_pages(_noise),
    "pages of zeros": _some_pages(_zeros),
    "noise in the middle": _middle,
    "cut off": _cut,
    "cut off at a page": _cut_to_a_page,
}
"""Ways in which disks and people damage a file."""


def damage(path: Path, kind: str, random: Random) -> set[int]:
    """Damage a file; return the changed pages."""
    before = path.read_bytes()
    data = bytearray(before)
    DAMAGES[kind](data, path, random)
    path.write_bytes(data)
    return changed_pages(before, bytes(data))


def changed_pages(before: bytes, after: bytes) -> set[int]:
    """Return the numbers of the pages that differ."""
    starts = range(0, len(before), PAGE)
    return {start // PAGE + 1 for start in starts if before[start : start + PAGE] != after[start : start + PAGE]}
