import os
import time
from pathlib import Path

import pytest

from batchrun.errors import InputError
from batchrun.prompts.input.files import find_files, fingerprint, identity, is_same


def names(*paths: str) -> list[str]:
    return [file.name for file in find_files(paths)]


def test_a_folder_means_its_known_files_sorted_and_nested(tmp_path: Path, write) -> None:
    """Hidden files, markers and unknown endings are ignored; nested files are read, sorted by path."""
    for name in ("b.jsonl", "a.csv", "sub/c.ndjson.gz", ".hidden.jsonl", "_SUCCESS", "_tmp/d.jsonl", "readme.md"):
        write(name, b"x")
    assert names(str(tmp_path)) == ["a.csv", "b.jsonl", "c.ndjson.gz"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "c.jsonl"]),
        ("[ab].jsonl", ["a.jsonl", "b.jsonl"]),
        ("*", ["a.jsonl", "b.jsonl"]),
    ],
)
def test_a_glob_means_the_known_files_that_it_matches(tmp_path: Path, write, pattern: str, expected: list[str]) -> None:
    """Globs match known files only, sorted, `**` through folders."""
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl", "notes.txt"):
        write(name, b"x")
    assert names(str(tmp_path / pattern)) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["a.jsonl", "b.csv"]),
        ("*", ["a.jsonl", "b.csv"]),
        ("*.json", ["config.json", "d.json"]),
        ("*.json*", ["a.jsonl", "config.json", "d.json"]),
        ("*.txt", ["LICENSE.txt"]),
        ("**/*.txt.gz", ["e.txt.gz"]),
        ("d.json", ["d.json"]),
    ],
)
def test_files_that_stand_next_to_data_are_input_only_where_their_ending_is_named(
    tmp_path: Path, write, pattern: str, expected: list[str]
) -> None:
    """`config.json` and `LICENSE.txt` of a folder must not be sent line by line."""
    for name in ("a.jsonl", "b.csv", "config.json", "d.json", "LICENSE.txt", "sub/e.txt.gz"):
        write(name, b"x")
    assert names(str(tmp_path / pattern)) == expected


def test_a_file_whose_name_looks_like_a_glob_is_that_file(write) -> None:
    """A path that exists is taken literally."""
    assert names(write("a[1].jsonl", b"x")) == ["a[1].jsonl"]


def test_paths_keep_their_order(write) -> None:
    """Rows come in the order of the paths on the command line."""
    assert names(write("b.jsonl", b""), write("a.jsonl", b"")) == ["b.jsonl", "a.jsonl"]


def test_messages_distinguish_files_of_one_name_by_their_paths(write) -> None:
    """A message must name one file only."""
    paths = [write("one/part.jsonl", b""), write("two/part.jsonl", b""), write("two/x.jsonl", b"")]
    assert names(*paths) == [paths[0], paths[1], "x.jsonl"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("reveiws.jsonl", "no such file; did you mean reviews.jsonl?"),
        ("gone/a.jsonl", "does not exist"),
        ("ftp://host/a.jsonl", "ftp:// is not supported; use one of s3://"),
        ("*.csv", "matches no file"),
        ("folder", "the folder holds no input"),
        ("folder", "files that end in .txt are read where the ending is named: "),
        ("folder/*", "matches no file with a known ending"),
        ("folder/*", "files that end in .txt are read where the ending is named: "),
        ("saved", "datasets.Dataset.from_file("),
        ("notes.md", "unknown ending; known are .jsonl"),
        ("rows.data", ": mv "),
        ("no.parquet", "is not a Parquet file"),
        ("cut.parquet", "is not a Parquet file"),
        ("none.parquet", "is not a Parquet file"),
        ("fifo.jsonl", "is not a regular file"),
    ],
)
def test_a_path_that_cannot_be_read_is_refused_with_a_cure(tmp_path: Path, write, path: str, message: str) -> None:
    """It is an error of the whole input, and the message says what to do."""
    write("reviews.jsonl", b"x")
    write("folder/notes.txt", b"x")
    write("saved/data-00000-of-00001.arrow", b"\xff\xff\xff\xff\x10\0\0\0")
    write("saved/dataset_info.json", b"{}")
    for name, content in {
        "notes.md": b"x",
        "rows.data": b'[{"prompt": "x"}]',
        "no.parquet": b"hello",
        "none.parquet": b"",
    }.items():
        write(name, content)
    write("cut.parquet", b"PAR1 and no end")
    os.mkfifo(tmp_path / "fifo.jsonl")
    with pytest.raises(InputError) as refused:
        find_files([str(tmp_path / path) if "://" not in path else path])
    assert message in str(refused.value)
    assert Path(path).name in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(write) -> None:
    """Permissions are checked before anything is sent."""
    path = write("a.jsonl", b"{}")
    Path(path).chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        find_files([path])


def test_standard_input_can_be_named_once() -> None:
    """It has no identity, so no fingerprint, and cannot be read twice."""
    [stdin] = find_files(["-"])
    assert stdin.is_stdin
    assert identity(stdin) is None
    assert fingerprint([stdin]) == ""
    with pytest.raises(InputError, match="once"):
        find_files(["-", "-"])


def test_the_fingerprint_changes_with_size_time_and_files(write) -> None:
    """Equal for unchanged input, different after any change."""
    path = write("a.jsonl", b"{}")
    other = write("b.jsonl", b"{}")
    before = fingerprint(find_files([path]))
    assert fingerprint(find_files([path])) == before
    os.utime(path, ns=(1, 1))
    touched = fingerprint(find_files([path]))
    write("a.jsonl", b"{} ")
    os.utime(path, ns=(1, 1))
    grown = fingerprint(find_files([path]))
    assert len({before, touched, grown, fingerprint(find_files([path, other]))}) == 4
    assert identity(find_files([path])[0]).size_bytes == 3


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    """`rsync -t`, `tar x` and `touch -r` make such changes: the system records when the entry changed."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "apple"}\n')
    (found,) = find_files([str(path)])
    before = path.stat()
    time.sleep(0.02)  # some systems keep time in ticks
    path.write_text('{"prompt": "grape"}\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not is_same(found)
    assert fingerprint(find_files([str(path)])) != fingerprint([found])
