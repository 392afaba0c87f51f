"""PDF files, sounds and videos of a column."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.pictures import picture
from harness.prompts import results, write_rows

from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Model
from batchrun.prompts.source import Source
from batchrun.records import BadRow, Request
from batchrun.simulator import server

Write = Callable[[str, Any], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write bytes, or rows of JSON Lines; return the path."""

    def written(name: str, content: Any) -> str:
        path = tmp_path / name
        if isinstance(content, list):
            return write_rows(str(path), *content)
        path.write_bytes(content)
        return str(path)

    return written


def entries(asked: Job) -> list[Request | BadRow]:
    with Source(asked) as source:
        source.open()
        return [entry for batch in source.batches() for entry in batch]


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def file_parts(write: Write, values: list[Any]) -> list[Any]:
    """Return what is sent after the text for each value; of a broken row its message."""
    prompt = PromptTemplates(user="What is it?", files="file")
    path = write("a.jsonl", [{"file": "https://example.com/a.pdf"}, *({"file": value} for value in values)])
    made = entries(Job(input=Input(path=(path,)), prompt=prompt, model=Model(names=("m",))))[1:]
    return [
        json.loads(entry.body)["messages"][-1]["content"][1:] if isinstance(entry, Request) else entry.message
        for entry in made
    ]


PDF, SOUND, VIDEO = b"%PDF-1.7 text", b"RIFF\x24\0\0\0WAVEfmt ", b"\0\0\0\x20ftypisom"


def test_files_of_a_column_are_sent_as_their_parts(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another kind costs its row only, and the column stays as it was."""
    bodies: list[dict[str, Any]] = []
    parse = server.parse_chat
    monkeypatch.setattr(server, "parse_chat", lambda raw, **more: bodies.append(json.loads(raw)) or parse(raw, **more))
    Path("a.pdf").write_bytes(b"%PDF-1.7 text")
    Path("b.doc").write_bytes(b"text")
    write_rows("in.jsonl", {"doc": "a.pdf"}, {"doc": "b.doc"})
    assert run("in.jsonl", "-t", "Sum it up.", "--files", "doc").code == 1
    [body] = bodies
    assert [part["type"] for part in body["messages"][-1]["content"]] == ["text", "file"]
    assert [row["status"] for row in results()] == ["completed", "failed"]
    assert results()[1]["error"].startswith("in.jsonl:2: doc: b.doc is not a file of a known kind (PDF; ")
    assert [row["doc"] for row in results()] == ["a.pdf", "b.doc"]


def test_files_are_sent_as_the_parts_of_their_kinds(write: Write) -> None:
    """Their bytes show the kind, not their names; kinds may mix in one list."""
    write("a.txt", PDF)
    write("b.dat", SOUND)
    part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(SOUND).decode(), "format": "wav"}}
    document = {"filename": "document.pdf", "file_data": data_url(PDF, "application/pdf")}
    video = {"type": "video_url", "video_url": {"url": data_url(VIDEO, "video/mp4")}}
    image = {"type": "image_url", "image_url": {"url": data_url(picture())}}
    values = ["a.txt", ["b.dat", data_url(VIDEO, "x/y")], data_url(picture()), "https://example.com/a.mp3"]
    assert file_parts(write, values) == [
        [{"type": "file", "file": document}],
        [part, video],
        [image],
        [{"type": "audio_url", "audio_url": {"url": "https://example.com/a.mp3"}}],
    ]


def test_a_file_of_an_unknown_kind_breaks_its_row_only(write: Write) -> None:
    """The message lists the known kinds; nothing else of this machine is sent."""
    write("a.pdf", b"the secret of this machine")
    named, held, url = file_parts(write, ["a.pdf", "data:;base64,aGVsbG8=", "https://example.com/a"])
    kinds = "PDF; WAV, MP3, FLAC, Ogg, M4A or AAC; MP4, MOV, WebM, MKV, AVI or MPEG; or an image"
    known = f"not a file of a known kind ({kinds})"
    assert named.startswith("a.jsonl:2: file: ")
    assert named.endswith(f"/a.pdf is {known}")
    assert held == f"a.jsonl:3: file: holds bytes that are {known}"
    assert url == (
        "a.jsonl:4: file: https://example.com/a does not show what kind of file it is; its ending must be that of a"
        " PDF, sound, video or image, such as .pdf, .mp3 or .mp4; or use its bytes"
    )


def test_images_and_files_of_one_row_are_both_sent_and_a_files_name_is_not_asked(write: Write) -> None:
    """Images come first. A file that is renamed is the same request."""
    write("a.pdf", PDF)
    write("b.pdf", PDF)
    rows = [{"photo": data_url(picture()), "file": name} for name in ("a.pdf", "b.pdf")]
    prompt = PromptTemplates(user="What is it?", images="photo", files="file")
    one, two = entries(Job(input=Input(path=(write("a.jsonl", rows),)), prompt=prompt, model=Model(names=("m",))))
    assert isinstance(one, Request)
    parts = json.loads(one.body)["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "file"]
    assert parts[2]["file"]["file_data"] == data_url(PDF, "application/pdf")
    assert one.key == two.key
