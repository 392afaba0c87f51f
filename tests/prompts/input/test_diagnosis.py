"""What a file is, by its first bytes, and commands that were run on it."""

import gzip
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from batchrun.errors import InputError
from batchrun.prompts.source import Source

ROW = '{"prompt": "q"}\n{"prompt": "r"}\n'


def refusal(make_job, path: str, **job) -> str:
    with Source(make_job(path, **job)) as source, pytest.raises(InputError) as refused:
        source.open()
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        ("a.parquet", b"PARE" + b"x" * 50 + b"PARE", "encrypted Parquet"),
        ("a.csv", b"PK\x03\x04\x14\0[Content_Types].xml\xff\xfe", "Excel workbook"),
        ("a.csv", b"PK\x03\x04\x14\0a.csv\xff\xfe", "ZIP archive; unpack it: unzip"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "Excel workbook"),
        ("a.jsonl", b"PAR1\x15\0\x15\xff", "is a Parquet file"),
        ("a.jsonl", b"<!DOCTYPE html><html>", "is a web page"),
        ("a.jsonl.gz", gzip.compress(b"a.txt".ljust(257, b"\0") + b"ustar\0", mtime=0), "is a tar archive"),
        ("a.dat", b"prompt\tx\nq\t1\n", "it holds values separated by tabs: mv "),
        ("a.txt", ROW.encode(), "holds JSON Lines, not a prompt in each line: mv "),
        ("a.txt.gz", gzip.compress(ROW.encode(), mtime=0), "holds JSON Lines, not a prompt in each line: mv "),
        ("a.dat", b"\x28\xb5\x2f\xfd\x24", "it is packed by zstd; give it a name that also says what is in it"),
        ("a.dat", b'{"prompt": ', "is not whole JSON: it ends too early"),
        ("a.json", b'{"data": [{"prompt": "q"}, {"pro', "is not whole JSON: it ends too early; download or write it"),
        ("a.json", b'{"data": [{"prompt": "q"},, 1]}', "is not whole JSON: Expecting value (line 1, column 27)"),
        ("a.json", b'"q"', "is a JSON document, not JSON Lines"),
        ("a.csv", b"id,prompt\n1,caf\xe9\n".replace(b"prompt", b"pr\xe9"), "iconv -f WINDOWS-1252"),
    ],
)
def test_a_file_is_called_what_it_is(write, make_job, name: str, content: bytes, what: str) -> None:
    """And nothing is advised that does not fit it."""
    assert what in refusal(make_job, write(name, content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("part 0.dat", ROW.encode()),
        ("part 0.dat", gzip.compress(ROW.encode(), mtime=0)),
        ("a.text", b"prompt\tx\nq\t1\nr\t2\n"),
        ("a.dat", "prompt\tx\nq\tä\nr\t2\n".encode("utf-16")),
        ("a.txt", "prompt\tx\r\nq\tä\r\nr\t2\r\n".encode("utf-16")),
        ("a.txt", "q\r\nr\r\n".encode("utf-16")),
        ("a.tsv", "prompt\tä\nq\t1\nr\t2\n".encode("cp1252")),
        ("a.txt", b"prompt\tx\nq\t1\nr\t2\n"),
        ("a.txt", ROW.encode()),
        ("a.txt", b'["q", "r"]'),
        ("a.csv", ROW.encode()),
        ("a.jsonl", b"prompt,x\nq,1\nr,2\n"),
        ("a.jsonl.gz", gzip.compress(b"prompt\tx\nq\t1\nr\t2\n", mtime=0)),
        ("a.json", b"prompt;x\nq;1\nr;2\n"),
        ("a.jsonl", b"q\nr\n"),
        ("a.csv", gzip.compress("prompt,x\nq,ä\nr,2\n".encode("utf-16-le"), mtime=0)),
        ("a.json", json.dumps(["q", "r"]).encode("utf-16")),
        ("a.csv", "prompt,x\nq,ä\nr,2\n".encode("utf-16")),
        ("a.jsonl", ROW.encode("utf-16-be")),
        ("a.csv.gz", gzip.compress("prompt,x\nq,ä\nr,2\n".encode("utf-16-le"), mtime=0)),
        ("a.csv", b"prompt,x\rq,1\rr,2\r"),
        ("a.csv", "prompt,é\nq,1\nr,2\n".encode("cp1252")),
        ("a.dat", json.dumps([{"prompt": "q"}, {"prompt": "r"}]).encode()),
        ("a.jsonl", json.dumps([{"prompt": "q"}, {"prompt": "r"}], indent=1).encode()),
        ("a.jsonl", b'{\n "prompt": "q"\n}\n{\n "prompt": "r"\n}\n'),
        ("a.json", json.dumps({"n": 2, "data": [{"prompt": "q"}, {"prompt": "r"}]}).encode()),
        ("a.dat", b'["q", "r"]'),
    ],
)
def test_the_command_of_a_message_makes_input_of_the_file(
    asked, write, make_job, tmp_path: Path, name: str, content: bytes
) -> None:
    """As it stands, typed into a shell."""
    message = refusal(make_job, write(name, content))
    command = re.search(r"(?:: )((?:mv|iconv|gzip|tr|jq) .*)", message)
    assert command is not None, message
    if "jq " in command[1] and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    subprocess.run(command[1], shell=True, check=True)
    [new] = [str(each) for each in tmp_path.iterdir() if each.name != name]
    assert asked(new) == ["q", "r"]


def test_a_real_workbook_is_an_excel_file(tmp_path: Path, make_job) -> None:
    """As Office packs it."""
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
    assert "Excel workbook" in refusal(make_job, str(tmp_path / "a.csv"))


def test_a_folder_without_input_names_a_file_that_nearly_is(tmp_path: Path, write, make_job) -> None:
    """With what to do."""
    write("f/part-0.dat", ROW)
    write("f/LICENSE.txt", "All rights reserved.")
    assert "; part-0.dat holds JSON Lines: mv" in refusal(make_job, str(tmp_path / "f"))
