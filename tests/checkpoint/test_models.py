"""Models are numbered in the order in which they are seen first, and keep their numbers."""

from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from batchrun.checkpoint.models import ModelNumbers
from batchrun.checkpoint.queue import WriteQueue
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME, MODELS, pack
from batchrun.errors import RunDirectoryError
from batchrun.records import Request


def test_a_model_gets_the_next_number_once_and_its_name_is_written() -> None:
    queue = WriteQueue()
    models = ModelNumbers(Path(FILE_NAME), queue)
    assert [models.number_of(name) for name in "zaz"] == [0, 1, 0]
    assert [values for _, values in queue.take().statements] == [(0, "z"), (1, "a")]
    assert models.numbers == {"z": 0, "a": 1}


def test_the_numbers_so_far_do_not_change_while_the_writer_uses_them() -> None:
    """The reader's thread adds a model when a row names it first."""
    models = ModelNumbers(Path(FILE_NAME), WriteQueue())
    models.number_of("a")
    used = {}
    for name, number in models.numbers.items():
        used[name] = number
        models.number_of("b")
    assert used == {"a": 0}


def test_two_threads_that_see_a_model_first_give_it_one_number() -> None:
    """The reader's thread, and the event loop where a model is only a fallback."""
    found: list[int] = []

    class Slow(WriteQueue):
        def run(self, statement: str, *values: Any) -> None:
            if not found:
                found.append(-1)
                other.start()
                other.join(0.1)
            super().run(statement, *values)

    queue = Slow()
    models = ModelNumbers(Path(FILE_NAME), queue)
    other = Thread(target=lambda: found.append(models.number_of("m")))
    number = models.number_of("m")
    other.join()
    assert found == [-1, number]
    assert [values for _, values in queue.take().statements] == [(0, "m")]


def test_the_number_of_a_request_has_its_row_its_model_and_its_sample() -> None:
    models = ModelNumbers(Path(FILE_NAME), WriteQueue())
    models.number_of("m")
    assert models.id_of(Request(7, "n", 3, b"", b"", None)) == pack(7, 1, 3)


def test_numbers_are_the_same_when_the_file_is_opened_again(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert [store.model_id(name) for name in "za"] == [0, 1]
    with Store(tmp_path) as store:
        assert [store.model_id(name) for name in "abz"] == [1, 2, 0]


def test_more_models_than_fit_are_refused() -> None:
    """Otherwise they would be counted as other models."""
    models = ModelNumbers(Path(FILE_NAME), WriteQueue())
    for number in range(MODELS):
        assert models.number_of(f"m{number}") == number
    with pytest.raises(RunDirectoryError, match="split the input by model"):
        models.id_of(Request(0, "one more", 0, b"", b"", None))
