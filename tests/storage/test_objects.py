import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs as arrow

from batchrun.errors import InputError
from batchrun.prompts.input.columns import InputColumns
from batchrun.prompts.input.files import find_files, fingerprint, is_same
from batchrun.prompts.input.reader import RowReader
from batchrun.storage import objects
from batchrun.storage.urls import Place

ROWS = [{"id": str(row), "prompt": f"Say {row}"} for row in range(500)]


def fill(bucket: Path, *names: str) -> None:
    for name in names:
        path = bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=100)
        else:
            text = "".join(json.dumps(row) + "\n" for row in ROWS)
            with pa.output_stream(str(path)) as stream:  # the ending decides the compression
                stream.write(text.encode())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bkt/in", ["a.jsonl", "b.parquet", "c.jsonl.gz", "d.jsonl"]),
        ("s3://bkt/in/", ["a.jsonl", "b.parquet", "c.jsonl.gz", "d.jsonl"]),
        ("s3://bkt", ["a.jsonl", "b.parquet", "c.jsonl.gz", "d.jsonl", "e.jsonl"]),
        ("s3://bkt/in/*.jsonl", ["a.jsonl"]),
        ("s3://bkt/in/**/*.jsonl*", ["a.jsonl", "c.jsonl.gz", "d.jsonl"]),
        ("s3://bkt/in/?.jsonl", ["a.jsonl"]),
        ("s3://bkt/*/deep/[cd].*", ["c.jsonl.gz", "d.jsonl"]),
        ("s3://bkt/in/a.jsonl?region=eu-west-1", ["a.jsonl"]),
    ],
)
def test_urls_can_be_files_folders_and_globs_like_paths(bucket: Path, url: str, expected: list[str]) -> None:
    """The files are sorted; hidden files, folder markers and unknown endings are left out."""
    fill(bucket, "in/a.jsonl", "in/b.parquet", "in/deep/c.jsonl.gz", "in/deep/d.jsonl", "out/e.jsonl")
    fill(bucket, "in/_tmp/f.jsonl", "in/.g.jsonl", "in/readme.md")
    assert [file.name for file in find_files([url])] == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://bkt/no.jsonl", "there is nothing"),
        ("s3://bkt/*.csv", "there is nothing"),
        ("s3://bkt/notes", "no file there has a known ending (.jsonl"),
        ("s3://bkt/notes", "b.md holds JSON Lines; give it a name that ends in .jsonl"),
        ("s3://bkt/saved", "data-00000-of-00001.arrow is an Arrow stream; write it as Parquet: datasets.Dataset."),
        ("s3://bkt/notes/b.md", "unknown ending"),
        ("s3://bkt/texts", "files that end in .json.gz are read where the ending is named: 's3://bkt/texts/*.json.gz'"),
        ("s3://key:secret@bkt/a.jsonl", "s3://…: holds a password"),
        ("s3://key:sec/ret@bkt/a.jsonl", "s3://…: holds a password"),
        ("https://me:secret@host/a.jsonl", "https://…: holds a password"),
        ("az://box/a.jsonl?sas_token=secret", "holds a password"),
        ("s3://[a/x.jsonl", "not the name of a server or bucket"),
        ("http://[::1/x.jsonl", "not the name of a server or bucket"),
        ("s3://bkt/notes//a.jsonl", "has an empty name"),
        ("s3://bkt//notes/*.jsonl", "has an empty name"),
        ("ftp://bkt/a.jsonl", "ftp:// is not supported; use one of s3://"),
        ("file:///a.jsonl", "by its path, without file://"),
    ],
)
def test_urls_without_input_are_refused_with_a_cure(bucket: Path, url: str, message: str) -> None:
    """The message never repeats a password."""
    (bucket / "texts").mkdir()
    (bucket / "texts" / "README.md").write_text("# Texts")
    fill(bucket, "notes/a.txt", "notes/b.md", "texts/a.json.gz", "saved/data-00000-of-00001.arrow")
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(str(bucket / "saved/data-00000-of-00001.arrow"), table.schema) as arrow:
        arrow.write_table(table)
    with pytest.raises(InputError) as refused:
        find_files([url])
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_the_rows_of_a_bucket_are_those_of_the_file(bucket: Path, name: str) -> None:
    """For all formats, in the requests and in the results."""
    fill(bucket, name)
    files = find_files([f"s3://bkt/{name}"])
    assert [row.columns for rows in RowReader(files) for row in rows] == ROWS
    assert pa.Table.from_batches(InputColumns(files).batches()).to_pylist() == ROWS


def test_a_file_that_was_written_again_has_another_fingerprint(bucket: Path) -> None:
    """A resumed run recognises by it whether its input has changed."""
    fill(bucket, "a.jsonl")
    [file] = find_files(["s3://bkt/a.jsonl"])
    assert find_files(["s3://bkt/"]) == [file]
    assert is_same(file)
    os.utime(bucket / "a.jsonl", (1, 1))
    assert not is_same(file)
    assert fingerprint([file]) != fingerprint(find_files(["s3://bkt/a.jsonl"]))


def test_the_folder_of_a_remote_file_is_a_url(bucket: Path) -> None:
    """The options of the URL are not shown."""
    fill(bucket, "in/a.jsonl")
    assert find_files(["s3://bkt/in/a.jsonl?region=eu-west-1"])[0].folder == "s3://bkt/in"


ODD = ("q/a?x=1.jsonl", "br/a[1].jsonl", "star/a*b.jsonl", "mark/a?b.jsonl", "pct/a%20b c.jsonl", "hash/a#b.jsonl")


@pytest.mark.parametrize("name", ODD)
def test_no_file_of_a_folder_is_left_out_because_of_its_name(bucket: Path, name: str) -> None:
    """Even if the name looks like the options of a URL."""
    fill(bucket, name, f"{name.split('/')[0]}/other.jsonl")
    files = find_files([f"s3://bkt/{name.split('/')[0]}"])
    assert sorted(file.name for file in files) == sorted([Path(name).name, "other.jsonl"])
    assert sum(len(rows) for rows in RowReader(files)) == 2 * len(ROWS)
    assert all(map(is_same, files))


@pytest.mark.parametrize("name", ODD[1:])
def test_a_name_that_looks_like_a_glob_is_first_tried_as_a_name(bucket: Path, name: str) -> None:
    """Local files are found in the same way: a file that only matches the glob is not used instead."""
    fill(bucket, name, "br/a1.jsonl", "star/axb.jsonl", "mark/aXb.jsonl")
    assert [file.path for file in find_files([f"s3://bkt/{name}"])] == [f"s3://bkt/{name}"]
    (bucket / name).unlink()
    if "%" not in name and "#" not in name:
        assert len(find_files([f"s3://bkt/{name}"])) == 1


def test_the_right_to_list_is_enough_for_a_glob(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without other rights, some stores refuse to say whether an object exists."""
    fill(bucket, "in/a.jsonl")

    def refuse(place: Place) -> None:
        raise PermissionError("ACCESS_DENIED")

    monkeypatch.setattr(objects, "look", refuse)
    assert len(find_files(["s3://bkt/in/*.jsonl"])) == 1
    with pytest.raises(InputError, match="ACCESS_DENIED"):
        find_files(["s3://bkt/in/a.jsonl"])


def test_a_file_that_changes_while_it_is_read_is_refused(bucket: Path) -> None:
    """Even if its size is the same; otherwise pyarrow would join halves of two versions."""
    (bucket / "a.jsonl").write_bytes(b'{"prompt": "a"}\n' * 100_000)
    files = find_files(["s3://bkt/a.jsonl"])
    rows = iter(RowReader(files))
    next(rows)
    (bucket / "a.jsonl").write_bytes(b'{"prompt": "b"}\n' * 100_000)
    os.utime(bucket / "a.jsonl", (1, 1))
    for what in (rows, RowReader(files)):
        with pytest.raises(InputError, match=r"a\.jsonl: has changed while it was read"):
            list(what)


class Hiding:
    """A store with the right to write and without the right to read."""

    def __init__(self, folder: Path) -> None:
        self._system = arrow.SubTreeFileSystem(str(folder), arrow.LocalFileSystem())

    def get_file_info(self, path: object) -> None:
        raise OSError("When getting information: AWS Error ACCESS_DENIED during HeadObject operation: No response.")

    def open_output_stream(self, path: str, **settings: object) -> object:
        return self._system.open_output_stream(path, **settings)


def test_the_right_to_write_is_enough_for_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written, although its size cannot be checked."""
    (tmp_path / "store/bkt").mkdir(parents=True)
    (tmp_path / "a.json").write_bytes(b"{}")
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (Hiding(tmp_path / "store"), host))
    objects.upload([tmp_path / "a.json"], Place.of("s3://bkt"))
    assert (tmp_path / "store/bkt/a.json").read_bytes() == b"{}"


def test_files_are_uploaded_under_their_names(bucket: Path, tmp_path: Path) -> None:
    """They replace existing files; a file can be larger than one part."""
    (bucket / "out").mkdir()
    (bucket / "out/a.gz").write_bytes(b"old")
    (tmp_path / "a.gz").write_bytes(b"new" * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "_PIECE_BYTES", 1024)
        objects.upload([tmp_path / "a.gz"], Place.of("s3://bkt/out/"))
    assert (bucket / "out/a.gz").read_bytes() == b"new" * 1000


def test_a_file_that_shrinks_while_it_is_uploaded_is_an_error(bucket: Path, tmp_path: Path) -> None:
    """The missing bytes are not filled."""
    source = tmp_path / "a.bin"
    source.write_bytes(bytes(3000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "_PIECE_BYTES", 1024)
        patch.setattr(objects, "_keep_open", lambda stream: os.truncate(source, 2000))
        with pytest.raises(OSError, match="became shorter"):
            objects.upload([source], Place.of("s3://bkt"))


def test_a_missing_bucket_is_refused_before_the_first_request(bucket: Path) -> None:
    """The content of an existing bucket is not read."""
    objects.check_upload(Place.of("s3://bkt/any/folder"))
    with pytest.raises(InputError, match="has an empty name"):
        objects.check_upload(Place.of("s3://bkt/any//folder"))
    with pytest.raises(InputError, match="no such bucket"):
        objects.check_upload(Place.of("s3://none/folder"))


class Refusing:
    """A store that answers everything with an error."""

    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def get_file_info(self, path: object) -> None:
        raise self._problem


@pytest.mark.parametrize(
    ("url", "problem", "kind", "message"),
    [
        ("s3://bkt", OSError("When: AWS Error ACCESS_DENIED"), PermissionError, "When: AWS Error ACCESS_DENIED; ask"),
        ("az://bkt", OSError("Azure Error: [X] 403 No\nX\nTime: 1"), PermissionError, "Azure Error: [X] 403 No; ask"),
        ("az://bkt", pa.ArrowException("AuthenticationException"), PermissionError, "set AZURE_STORAGE_KEY or"),
        ("az://bkt", OSError("'https://h/b?se=1&sig=a%2Bb/c' failed"), OSError, "'https://h/b?se=1&sig=…' failed"),
        ("gs://bkt", OSError("S(UNAUTHENTICATED: x)"), PermissionError, "S(UNAUTHENTICATED: x); log in: gcloud"),
        (
            "gs://bkt",
            pa.ArrowInvalid("Status(PERMISSION_DENIED: Permanent error, with a last message of No. error_info={a})"),
            PermissionError,
            "No.; ask its owner for permission, or log in: gcloud",
        ),
        ("gs://bkt", FileNotFoundError(2, "No such"), FileNotFoundError, "[Errno 2] No such"),
        ("gs://bkt/403", OSError("bkt/403: away"), OSError, "bkt/403: away"),
    ],
)
def test_an_error_of_a_store_becomes_one_line_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, url: str, problem: Exception, kind: type[OSError], message: str
) -> None:
    """The line has no internal details and no secrets."""
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (Refusing(problem), host))
    with pytest.raises(OSError) as refused:
        objects.look(Place.of(url))
    assert isinstance(refused.value, kind)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert issubclass(kind, PermissionError) == isinstance(refused.value, PermissionError)


def test_only_uploads_retry_for_a_long_time_at_google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Google's client retries silently for 15 minutes, even without credentials."""
    asked: list[str] = []
    system = arrow.SubTreeFileSystem(str(tmp_path), arrow.LocalFileSystem())
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (asked.append(options) or system, host))
    (tmp_path / "bkt").mkdir()
    objects.look(Place.of("gs://bkt/a"))
    objects.look(Place.of("gs://bkt/a?anonymous=true"))
    objects.look(Place.of("gs://bkt/a?retry_limit_seconds=5"))
    objects.upload([], Place.of("gs://bkt/a"))
    limit = "retry_limit_seconds=20"
    assert asked == [f"?{limit}", f"?anonymous=true&{limit}", "?retry_limit_seconds=5", f"?{limit}", ""]
