import gzip
import io
import json
import re
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.prompts.input.files import find_files, fingerprint, is_same
from batchrun.prompts.input.parquet_file import stated_rows
from batchrun.prompts.input.reader import RowReader
from batchrun.storage import remote
from batchrun.storage import web as store
from batchrun.storage.urls import Place

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
    """Its name is the URL without the query. Reading the start fetches only a part."""
    web.files[f"/{name}?key=k"] = content
    url = f"{web.url}/{name}?key=k"
    assert [file.name for file in find_files([url])] == [name]
    assert read(url) == ROWS
    assert all(web.requests)


def test_a_limit_reads_little(web) -> None:
    """For five rows, the first part is enough."""
    web.files["/a.jsonl"] = LINES
    assert read(f"{web.url}/a.jsonl", limit=5) == ROWS[:5]
    assert web.requests[-1] == "bytes=0-65535"


def test_a_server_without_parts_is_read_from_its_start(web) -> None:
    """Lines are read anyway; Parquet is read from its end and must be downloaded."""
    web.files |= {"/a.jsonl": LINES, "/a.parquet": parquet()}
    web.gives_parts = False
    assert read(f"{web.url}/a.jsonl") == ROWS
    with pytest.raises(InputError, match="download it first"):
        read(f"{web.url}/a.parquet")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_broken_download_from_a_server_without_parts_is_an_error(web, is_chunked: bool, name: str) -> None:
    """The file is not read further and not requested again: rows would be missing or occur twice."""
    web.files[f"/{name}"] = content = gzip.compress(LINES) if name.endswith(".gz") else LINES
    web.gives_parts, web.is_chunked, web.cut_bytes = False, is_chunked, len(content) // 2
    rows: list[object] = []
    with pytest.raises(
        InputError, match=f"{name}: cannot be read: the server ended the transfer early.*download the file first"
    ):
        rows.extend(row for batch in RowReader(find_files([f"{web.url}/{name}"])) for row in batch)
    assert len(rows) < len(ROWS)
    assert web.requests[-1] == ""
    web.cut_bytes = None
    assert read(f"{web.url}/{name}") == ROWS


def test_a_request_to_a_server_that_fails_for_a_moment_is_retried(web, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file is looked up, when it is opened, and for each part."""
    monkeypatch.setattr(remote, "_WAITS_S", (0, 0, 0))
    web.files["/a.jsonl"] = LINES
    web.refusals = [503, 500]
    files = find_files([f"{web.url}/a.jsonl"])
    web.refusals = [503, 502, 429]
    assert [row.columns for rows in RowReader(files) for row in rows] == ROWS
    web.refusals = [503] * 99
    with pytest.raises(InputError, match="the server answers 503"):
        list(RowReader(files))
    web.refusals = [403, 500]
    with pytest.raises(InputError, match="forbids it"):
        list(RowReader(files))
    assert web.refusals == [500], "a refusal does not change"


@pytest.mark.parametrize(
    ("content_range", "message"),
    [
        ("bytes 0-{last}/{total}", "sends another part than the requested one"),
        ("items 1", "sends another part than the requested one"),
        ("bytes {start}-{last}/9999999", "has changed while it was read"),
    ],
)
def test_another_part_than_the_requested_one_is_refused(web, content_range: str, message: str) -> None:
    """A server or a cache may always return the start of the file."""
    web.files["/a.jsonl"] = LINES
    rows = iter(RowReader(find_files([f"{web.url}/a.jsonl"])))
    next(rows)
    web.content_range = content_range
    with pytest.raises(InputError, match=message):
        list(rows)


def test_a_part_of_unknown_total_is_not_treated_as_the_whole_file(web) -> None:
    """The length of the file is unknown then, and a server that only sends such parts is refused."""
    web.files["/a.jsonl"] = LINES
    web.content_range = "bytes {start}-{last}/*"
    [file] = find_files([f"{web.url}/a.jsonl"])
    assert file.size_bytes == 0
    assert [row.columns for rows in RowReader([file]) for row in rows] == ROWS
    web.files["/a.parquet"] = parquet()
    with pytest.raises(InputError, match="download it first"):
        read(f"{web.url}/a.parquet")


def test_a_query_is_not_shown(web) -> None:
    """It may be a signature with which anyone can read the file."""
    url = f"{web.url}/a.jsonl?X-Amz-Signature=SECRET/1"
    web.files |= {"/a.jsonl?X-Amz-Signature=SECRET/1": b"[\n{}\n]", "/a.jsonl?2": b'{"prompt": 1}'}
    with pytest.raises(InputError, match=r"/b\.jsonl\?…: there is nothing$"):
        find_files([url.replace("a.", "b.")])
    files = find_files([url, f"{web.url}/a.jsonl?2"])
    assert files[0].path == url, "it is needed to resume"
    assert [file.shown for file in files] == [f"{web.url}/a.jsonl?…"] * 2 == [file.name for file in files]
    assert files[0].folder == f"{web.url}/"
    with pytest.raises(InputError) as refused:
        list(RowReader(files))
    web.etag = '"2"'
    with pytest.raises(InputError, match="has changed since it was found") as changed:
        list(RowReader(files))
    assert "SECRET" not in f"{refused.value} {changed.value}"


def test_no_redirect_leaves_https() -> None:
    """Others could read a file that the user wants to keep private."""
    request = urllib.request.Request("https://host/a.jsonl")
    follow = store._Redirects().redirect_request
    with pytest.raises(PermissionError, match="redirects from https to plain http"):
        follow(request, None, 302, "Found", {}, "http://host/a.jsonl")
    assert follow(request, None, 302, "Found", {}, "https://other/a.jsonl").full_url == "https://other/a.jsonl"


def test_a_file_that_changes_is_noticed(web) -> None:
    """By its ETag, also during reading, so that two versions are never mixed."""
    web.files["/a.jsonl"] = LINES
    [file] = find_files([f"{web.url}/a.jsonl"])
    assert is_same(file)
    rows = iter(RowReader([file]))
    next(rows)
    web.etag = '"2"'
    with pytest.raises(InputError, match="has changed while it was read"):
        list(rows)
    assert not is_same(file)
    with pytest.raises(InputError, match="has changed since it was found"):
        list(RowReader([file]))
    assert fingerprint([file]) != fingerprint(find_files([f"{web.url}/a.jsonl"]))


def test_an_empty_file_has_no_rows(web) -> None:
    """Although there is no first byte to request."""
    web.files["/a.jsonl"] = b""
    assert read(f"{web.url}/a.jsonl") == []


@pytest.mark.parametrize(
    ("path", "message"), [("/none.jsonl", "there is nothing"), ("/a.md", "unknown ending"), ("/*.jsonl", "nothing")]
)
def test_urls_that_are_not_inputs_are_refused(web, path: str, message: str) -> None:
    """A web server cannot list files, so globs do not work."""
    web.files["/a.md"] = b"x"
    with pytest.raises(InputError, match=message):
        find_files([web.url + path])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (LINES, "it holds JSON Lines; give it a name that ends in .jsonl"),
        (gzip.compress(LINES), "it holds JSON Lines; give it a name that ends in .jsonl"),
        (b"id\tprompt\n1\ta\n2\tb\n", "it holds values separated by tabs; give it a name that ends in .tsv"),
        (json.dumps(ROWS).encode(), "it is one JSON document, not JSON Lines; write one object per line: jq -c"),
        (parquet(), "it is a Parquet file; give it a name that ends in .parquet"),
        (
            "id,prompt\n1,a\n".encode("utf-16"),
            "it is UTF-16, not UTF-8; convert the file: iconv -f UTF-16 -t UTF-8 < FILE",
        ),
    ],
)
def test_a_file_with_an_unknown_ending_is_called_what_it_is(web, content: bytes, what: str) -> None:
    """From its first bytes, as a file of this machine."""
    web.files["/export"] = content
    with pytest.raises(InputError, match=rf"/export: unknown ending; known are \.jsonl.*; {re.escape(what)}"):
        find_files([f"{web.url}/export"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json.gz", gzip.compress(json.dumps(ROWS, indent=1).encode())),
        ("a.tsv", ("id\tprompt\n" + "".join(f"{row['id']}\t{row['prompt']}\n" for row in ROWS)).encode()),
    ],
)
def test_other_formats_are_read_in_parts_too(web, name: str, content: bytes) -> None:
    """The same rows."""
    web.files[f"/{name}"] = content
    assert read(f"{web.url}/{name}") == ROWS
    assert read(f"{web.url}/{name}", limit=5) == ROWS[:5]


def test_the_rows_of_parquet_are_counted_without_reading_them(web) -> None:
    """By its footer, a small part of the file; where a server sends no parts, they are not."""
    content = parquet()
    web.files |= {"/a.parquet": content, "/b.parquet": content, "/c.jsonl": LINES}
    files = find_files([f"{web.url}/a.parquet", f"{web.url}/b.parquet"])
    web.requests.clear()
    assert stated_rows(files) == 2 * len(ROWS)
    assert len(web.requests) <= 8
    parts = [re.fullmatch(r"bytes=(\d+)-(\d+)", each) for each in web.requests]
    assert sum(int(each[2]) - int(each[1]) + 1 for each in parts if each) < len(content)
    assert stated_rows(files * 9) is None
    assert stated_rows([*files, *find_files([f"{web.url}/c.jsonl"])]) is None
    web.gives_parts = False
    assert stated_rows(files) is None


def test_an_unreachable_server_is_reported_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has no internal text of the library."""
    monkeypatch.setattr(remote, "_WAITS_S", ())
    with pytest.raises(InputError, match=r"a.jsonl: cannot be read: Connection refused"):
        find_files(["http://127.0.0.1:1/a.jsonl"])


def test_uploads_to_a_web_server_are_refused() -> None:
    """There is no standard way to upload to one."""
    with pytest.raises(InputError, match="cannot be uploaded to an HTTP server"):
        store.upload([Path("a")], Place.of("https://host/"))
