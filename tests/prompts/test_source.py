import gzip
import io
import json
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.source import Source
from batchrun.records import BadRow, Request, RowCount


def entries(job: Job, **more) -> list[Request | BadRow]:
    with Source(job, **more) as source:
        source.open()
        return [entry for batch in source.batches() for entry in batch]


def contents(job: Job, **more) -> list[str]:
    return [json.loads(entry.body)["messages"][-1]["content"] for entry in entries(job, **more)]


def test_a_file_becomes_requests_in_input_order(write, make_job) -> None:
    """Every row once per model and sample; rows that were checked first are not repeated."""
    path = write("a.jsonl", [{"q": str(number)} for number in range(1000)])
    made = entries(make_job(path, user="{{ q }}", names=("a", "b"), num_samples=2))
    expected = [(row, model, sample) for row in range(1000) for model in ("a", "b") for sample in (0, 1)]
    assert [(entry.row, entry.model, entry.sample) for entry in made] == expected


def test_broken_rows_stand_among_the_others(write, make_job) -> None:
    """With file, line, label and reason; no row is lost or moved."""
    deep = '{"id": 4, "messages": ' + "[" * 900 + "]" * 900 + "}\n"
    content = '{"prompt": "a"}\nno json\n{"id": 3}\n' + deep + '{"prompt": "b"}\n'
    made = entries(make_job(write("a.jsonl", content)))
    assert [type(entry) for entry in made] == [Request, BadRow, BadRow, BadRow, Request]
    messages = [(entry.custom_id, entry.message) for entry in made if isinstance(entry, BadRow)]
    assert messages[0][1].startswith("a.jsonl:2: is not JSON")
    assert messages[1] == ("3", "a.jsonl:3: has no messages and no prompt, and the job has no template")
    assert messages[2][1].startswith("a.jsonl:4: ")


def test_a_value_that_is_nested_too_deeply_breaks_its_row_only(write, make_job) -> None:
    """Python's recursion limit does not stop a run."""
    value = json.loads("[" * 900 + "]" * 900)
    path = write("a.jsonl", [{"prompt": "a"}, {"prompt": "b", "params": {"x": value}}])
    [one, two] = entries(make_job(path))
    assert isinstance(one, Request)
    assert isinstance(two, BadRow)
    assert two.message == "a.jsonl:2: is nested too deeply"


def test_files_of_all_formats_ask_the_same(tmp_path: Path, write, make_job) -> None:
    """JSON Lines, CSV and Parquet with the same rows give the same keys."""
    rows = [{"id": "1", "q": "é"}, {"id": "2", "q": "b"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    paths = [write("a.jsonl", rows), write("a.csv", "id,q\n1,é\n2,b\n"), str(tmp_path / "a.parquet")]
    first, *others = [entries(make_job(path, user="{{ q }}")) for path in paths]
    assert [entry.custom_id for entry in first] == ["1", "2"]
    assert others == [first, first]


def test_messages_and_params_from_parquet_lose_the_keys_of_other_rows(tmp_path: Path, make_job) -> None:
    """Structs have every key in every row; absent keys must not be sent as null."""
    rows = [
        {"messages": [{"role": "user", "content": "a", "name": "x"}], "params": {"seed": 1}},
        {"messages": [{"role": "assistant", "content": None}], "params": {"top_p": 0.5}},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    bodies = [json.loads(entry.body) for entry in entries(make_job(str(tmp_path / "a.parquet")))]
    assert bodies == [
        {"model": "m", "messages": [{"role": "user", "content": "a", "name": "x"}], "seed": 1},
        {"model": "m", "messages": [{"role": "assistant", "content": None}], "top_p": 0.5},
    ]


def test_a_template_over_the_row_reads_every_parquet_column(tmp_path: Path, make_job) -> None:
    """Columns are left out only when the template names those that it reads."""
    pq.write_table(pa.table({"a": [1], "b c": [2]}), tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    assert contents(make_job(path, user="{% for key in row %}{{ key }},{% endfor %}")) == ["a,b c,"]
    assert contents(make_job(path, user='{{ row["b c"] }}')) == ["2"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input_is_read_once_and_loses_nothing(tmp_path: Path, make_job, pack) -> None:
    """Rows that were checked first are returned too; a second reading returns the spooled rows, with the same names."""
    stdin = io.BytesIO(pack(b"".join(b'{"prompt": "%d"}\n' % number for number in range(1000))))
    with Source(make_job(), stdin, tmp_path / "input.jsonl") as source:
        source.open()
        made = [entry for batch in source.batches() for entry in batch]
        assert [entry.row for entry in made] == list(range(1000))
        assert (source.rows_read, source.is_complete) == (1000, True)
        assert [entry for batch in source.batches() for entry in batch] == made
        assert [entry for batch in source.batches() for entry in batch] == made


def test_standard_input_that_is_not_kept_or_not_at_its_end_is_not_read_again(tmp_path: Path, make_job) -> None:
    """Rows would be missing."""
    stdin = io.BytesIO(b'{"prompt": "a"}\n' * 1000)
    with Source(make_job(), stdin, tmp_path / "input.jsonl") as source:
        source.open()
        next(source.batches())
        with pytest.raises(InputError, match="once"):
            next(source.batches())
    with Source(make_job(), io.BytesIO(b'{"prompt": "a"}\n')) as source:
        source.open()
        list(source.batches())
        with pytest.raises(InputError, match="once"):
            next(source.batches())


def test_a_slow_pipe_is_not_waited_for(make_job) -> None:
    """One usable line is enough to begin, in a separate thread."""
    read_end, write_end = os.pipe()
    found: list[Request | BadRow] = []
    with os.fdopen(read_end, "rb") as stdin, Source(make_job(), stdin) as source:
        os.write(write_end, b'{"prompt": "a"}\n')
        source.open()
        batches = source.batches()
        worker = threading.Thread(target=lambda: found.extend(next(batches)))
        worker.start()
        worker.join(10)
        assert [entry.row for entry in found] == [0]
        os.close(write_end)
        assert list(batches) == []


def test_files_can_be_read_again(write, make_job) -> None:
    """Each time from the first row."""
    with Source(make_job(write("a.jsonl", [{"prompt": "a"}] * 300))) as source:
        source.open()
        first, second = list(source.batches()), list(source.batches())
    assert first == second
    assert source.rows_read == 300


def test_a_pass_over_the_input_knows_the_rows_that_an_earlier_one_has_counted(write, make_job) -> None:
    """An exact number stays exact."""
    with Source(make_job(write("a.jsonl", '{"prompt": "a"}\n' * 100_000))) as source:
        source.open()
        next(iter(source.batches()))
        guess = source.input_rows
        assert guess is not None
        assert not guess.is_exact
        for _ in source.batches():
            pass
        assert source.input_rows == RowCount(100_000, is_exact=True)
        next(iter(source.batches()))
        assert (source.rows_read, source.input_rows) == (256, RowCount(100_000, is_exact=True))
        source.close()


def test_batches_are_bounded_by_rows_and_by_bytes(write, make_job) -> None:
    """256 rows, or about a megabyte."""
    small = Source(make_job(write("a.jsonl", [{"prompt": "a"}] * 600)))
    large = Source(make_job(write("b.jsonl", [{"prompt": "x" * 300_000}] * 9)))
    sizes = []
    for source in (small, large):
        source.open()
        sizes.append([len(batch) for batch in source.batches()])
    assert sizes[0] == [256, 256, 88]
    assert sizes[1] == [4, 4, 1] or max(sizes[1]) <= 4


def test_the_limit_is_that_of_the_job(write, make_job) -> None:
    """Only the first rows, and then the input is complete."""
    with Source(make_job(write("a.jsonl", [{"prompt": "a"}] * 600), limit=300)) as source:
        source.open()
        assert sum(map(len, source.batches())) == 300
        assert (source.is_complete, source.fraction_read) == (True, 1.0)


def test_closing_ends_the_batches(write, make_job) -> None:
    """At the next one."""
    with Source(make_job(write("a.jsonl", [{"prompt": "a"}] * 1000))) as source:
        source.open()
        batches = source.batches()
        next(batches)
        source.close()
        assert list(batches) == []


def test_strict_lists_the_first_broken_rows_and_counts_them_all(write, make_job) -> None:
    """Without broken rows, every row is returned."""
    good = write("good.jsonl", [{"prompt": "a"}] * 500)
    assert len(entries(make_job(good, strict=True))) == 500
    bad = write("bad.jsonl", '{"prompt": "a"}\n' + "x\n" * 12)
    with pytest.raises(InputError) as refused:
        Source(make_job(bad, strict=True)).open()
    lines = str(refused.value).splitlines()
    assert lines[0] == "12 broken rows, and --strict allows none:"
    assert [line.split(": ")[0] for line in lines[1:11]] == [f"bad.jsonl:{line}" for line in range(2, 12)]
    assert lines[11] == "… and 2 more"


def test_strict_is_refused_for_standard_input(make_job) -> None:
    """It would have to be read twice."""
    with pytest.raises(InputError, match="--strict"):
        Source(make_job(strict=True), io.BytesIO(b'{"prompt": "a"}')).open()


def test_an_input_that_ends_too_early_is_an_error_at_that_point(write, make_job) -> None:
    """The rows before it are returned first."""
    content = b"".join(b'{"prompt": "%s"}\n' % os.urandom(30).hex().encode() for _ in range(20_000))
    packed = gzip.compress(content)
    source = Source(make_job(write("a.jsonl.gz", packed[: len(packed) // 2])))
    source.open()
    made: list[Request | BadRow] = []
    with pytest.raises(InputError, match="ends too early"):
        made.extend(entry for batch in source.batches() for entry in batch)
    assert len(made) > 8_000


def test_rows_that_are_settled_are_not_even_rendered(write, make_job) -> None:
    """Also the rows before the first wanted one."""
    path = write("a.jsonl", [{"n": number} for number in range(600)])
    asked: list[tuple[int, int]] = []
    rendered: list[int] = []

    def settled(first: int, end: int) -> set[int]:
        asked.append((first, end))
        return {301, 302, 599}

    with Source(make_job(path, user="{{ n }}")) as source:
        source.open()
        messages = source.rendering.forms.asked.messages
        source.rendering.forms.asked.messages = lambda row, more: (
            rendered.append(row.columns["n"]) or messages(row, more)
        )
        rows = [entry.row for batch in source.batches(300, settled) for entry in batch]
    assert rows == rendered == [300, *range(303, 599)]
    assert (asked[0][0], asked[-1][1]) == (300, 600)
    assert source.rows_read == 600


def test_a_number_of_rows_is_exact_only_if_it_was_read_after_the_end(make_job) -> None:
    """Another thread reads meanwhile: here it reads the last rows while it is asked how far it is."""

    class Reading:
        is_complete, fraction_read = False, 0.5

        @property
        def rows_used(self) -> int:
            self.is_complete = True
            return 5

        def close(self) -> None:
            pass

    with Source(make_job()) as source:
        source._reader = Reading()  # type: ignore[assignment]
        assert source.input_rows == RowCount(10, is_exact=False)
