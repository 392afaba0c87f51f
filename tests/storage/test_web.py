import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.prompts.files import find_files, fingerprint, is_same
from batchrun.prompts.reader import RowReader
from batchrun.storage import web as store

ROWS = [{"id": str(row), "prompt": f"Say {row} " + "and again " * 20} for row in range(2000)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream, row_group_size=500, compression="none")
    return stream.getvalue()


def read(url: str, **settings: int) -> list[object]:
    return [row.columns for rows in RowReader(find_files([url]), **settings) for row in rows]


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", LINES), ("a.jsonl.gz", gzip.compress(LINES)), ("a.parquet", parquet())]
)
def test_a_file_is_read_in_parts(web, name: str, content: bytes) -> None:
    """Its name is the URL's without the query, and a look at it costs a part of it."""
    web.files[f"/{name}?key=k"] = content
    url = f"{web.url}/{name}?key=k"
    assert [file.name for file in find_files([url])] == [name]
    assert read(url) == ROWS
    assert all(web.requests)


def test_a_limit_reads_little(web) -> None:
    """The first part is enough for five rows."""
    web.files["/a.jsonl"] = LINES
    assert read(f"{web.url}/a.jsonl", limit=5) == ROWS[:5]
    assert web.requests[-1] == "bytes=0-65535"


def test_a_server_without_parts_is_read_from_its_start(web) -> None:
    """Lines come all the same; Parquet, which is read from its end, must be downloaded."""
    web.files |= {"/a.jsonl": LINES, "/a.parquet": parquet()}
    web.gives_parts = False
    assert read(f"{web.url}/a.jsonl") == ROWS
    with pytest.raises(InputError, match="download it first"):
        read(f"{web.url}/a.parquet")


def test_a_file_that_changes_is_told_from_what_it_was(web) -> None:
    """By its ETag; also while it is read, so that no half of one is joined to a half of the other."""
    web.files["/a.jsonl"] = LINES
    [file] = find_files([f"{web.url}/a.jsonl"])
    assert is_same(file)
    rows = iter(RowReader([file]))
    next(rows)
    web.etag = '"2"'
    with pytest.raises(InputError, match="has changed while it was read"):
        list(rows)
    assert not is_same(file)
    assert fingerprint([file]) != fingerprint(find_files([f"{web.url}/a.jsonl"]))


def test_an_empty_file_has_no_rows(web) -> None:
    """Though there is no first byte to ask for."""
    web.files["/a.jsonl"] = b""
    assert read(f"{web.url}/a.jsonl") == []


@pytest.mark.parametrize(
    ("path", "message"), [("/none.jsonl", "there is nothing"), ("/a.txt", "unknown ending"), ("/*.jsonl", "nothing")]
)
def test_what_is_no_input_is_refused(web, path: str, message: str) -> None:
    """A server lists nothing, so a star is a star."""
    web.files["/a.txt"] = b"x"
    with pytest.raises(InputError, match=message):
        find_files([web.url + path])


def test_a_server_that_is_not_there_says_so_in_words() -> None:
    """Without the brackets of the library."""
    with pytest.raises(InputError, match=r"a.jsonl: cannot be read: Connection refused"):
        find_files(["http://127.0.0.1:1/a.jsonl"])


def test_nothing_is_uploaded_to_a_server() -> None:
    """There is no one way to."""
    with pytest.raises(InputError, match="takes no files"):
        store.upload([Path("a")], "https://host/")
