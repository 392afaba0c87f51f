import base64
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.pictures import HEADS, picture

from batchrun.errors import InputError
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Model
from batchrun.prompts import attachments
from batchrun.prompts.attachments import Attachments
from batchrun.prompts.source import Source
from batchrun.records import BadRow, Request


def job(*paths: str, **model: Any) -> Job:
    return Job(
        input=Input(path=paths),
        prompt=PromptTemplates(user="What is it?", images="photo"),
        model=Model(**({"names": ("m",)} | model)),
    )


def entries(asked: Job) -> list[Request | BadRow]:
    with Source(asked) as source:
        source.open()
        return [entry for batch in source.batches() for entry in batch]


def urls(entry: Request | BadRow) -> list[str]:
    """Return the URLs of the images that a request sends."""
    assert isinstance(entry, Request), entry
    content = json.loads(entry.body)["messages"][-1]["content"]
    assert content[0] == {"type": "text", "text": "What is it?"}
    return [part["image_url"]["url"] for part in content[1:]]


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("kind", HEADS)
def test_the_media_type_is_found_from_the_bytes(kind: str, tmp_path: Path, write) -> None:
    """The name of the file does not matter."""
    write("pictures/a.dat", picture(kind=kind))
    [entry] = entries(job(write("a.jsonl", [{"photo": "pictures/a.dat"}])))
    assert urls(entry) == [data_url(picture(kind=kind), kind)]


def test_a_url_is_sent_unchanged(write) -> None:
    """Only the endpoint fetches it."""
    rows = [{"photo": "https://example.com/a.png?x=1"}, {"photo": "HTTP://example.com/b.png"}]
    assert [urls(entry) for entry in entries(job(write("a.jsonl", rows)))] == [[row["photo"]] for row in rows]


def test_a_list_of_images_is_sent_in_its_order(write) -> None:
    """Kinds may mix and nulls are left out; in CSV a list is JSON."""
    write("b.png", picture("b"))
    values = ["https://example.com/a.png", None, "b.png", data_url(picture("c"))]
    expected = [values[0], data_url(picture("b")), values[3]]
    [entry] = entries(job(write("a.jsonl", [{"photo": values}])))
    assert urls(entry) == expected
    quoted = json.dumps(values).replace('"', '""')
    [entry] = entries(job(write("a.csv", f'photo\n"{quoted}"\n')))
    assert urls(entry) == expected


def test_a_row_without_images_is_a_plain_text(write) -> None:
    """Null, empty, or without the column."""
    rows = [{"photo": "https://example.com"}, {"photo": None}, {"photo": ""}, {"photo": []}, {"other": 1}]
    contents = [json.loads(entry.body)["messages"][0]["content"] for entry in entries(job(write("a.jsonl", rows)))]
    assert contents[1:] == ["What is it?"] * 4


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.binary(), picture("a")),
        (pa.large_binary(), picture("a")),
        (pa.list_(pa.binary()), [picture("a")]),
        (pa.string(), "there/a.png"),
        (IMAGE, {"bytes": picture("a"), "path": "gone.png"}),
        (IMAGE, {"bytes": None, "path": "there/a.png"}),
        (pa.list_(IMAGE), [{"bytes": picture("a"), "path": None}]),
    ],
    ids=["binary", "large binary", "list", "path", "bytes of Hugging Face", "path of Hugging Face", "list of structs"],
)
def test_parquet_holds_images_in_many_ways(tmp_path: Path, write, kind: pa.DataType, value: Any) -> None:
    """As `datasets` writes them, and in other common forms."""
    write("data/there/a.png", picture("a"))
    pq.write_table(pa.table({"photo": pa.array([value, None], kind), "n": [1, 2]}), tmp_path / "data" / "a.parquet")
    one, two = entries(job(str(tmp_path / "data" / "a.parquet")))
    assert urls(one) == [data_url(picture("a"))]
    assert json.loads(two.body)["messages"][0]["content"] == "What is it?"


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, write) -> None:
    """Each to its own file; absolute paths and file: URLs are used unchanged."""
    write("one/x.png", picture("1"))
    write("two/x.png", picture("2"))
    somewhere = write("else where.png", picture("3"))
    one = write("one/a.jsonl", [{"photo": "x.png"}, {"photo": somewhere}])
    two = write("two/a.csv", f"photo\n../two/x.png\n{Path(somewhere).as_uri()}\n")
    expected = [data_url(picture(number)) for number in "1323"]
    assert [url for entry in entries(job(one, two)) for url in urls(entry)] == expected


@pytest.mark.parametrize(
    ("photo", "problem"),
    [
        ("gone.png", "photo: {folder}/gone.png cannot be read: No such file or directory"),
        ("note.txt", "photo: {folder}/note.txt is not an image (PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF or HEIC)"),
        ("empty.png", "photo: {folder}/empty.png is not an image (PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF or HEIC)"),
        ("", "photo: {folder} is not a regular file"),
        ("pipe", "photo: {folder}/pipe is not a regular file"),
        ("large.png", "photo: {folder}/large.png has 2 MiB; at most 1 MiB can be sent"),
        ("s3://b/a.png", "photo: s3://b/a.png cannot be sent; use a URL that begins with http:, https: or data:"),
        ("data:image/png,abc", "photo: is a data URL without base64; write data:image/png;base64,…"),
        ("data:image/png;base64,a%b", "photo: is a data URL whose base64 is broken"),
        ("data:image/png;base64,aGVsbG8=", "photo: holds bytes that are not an image (PNG, "),
        ("a\0b", "photo: '{folder}/a\\x00b' is not a path"),
        ("iVBOR" * 100, "photo: "),
        (7, "photo: is a number; must be a URL, a path, or bytes"),
        ({"url": "x"}, "photo: is an object; must be a URL, a path, or bytes"),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_sent_breaks_its_row_only(
    tmp_path: Path, write, photo: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names the file or its fault. Only images are sent, and a pipe is not waited for."""
    monkeypatch.setattr(attachments, "_MAX_BYTES", 1 << 20)
    write("note.txt", "the secret of this machine")
    write("empty.png", "")
    write("large.png", picture(size=2 << 20))
    os.mkfifo(tmp_path / "pipe")
    photo = str(tmp_path) if photo == "" else photo
    good, bad = entries(job(write("a.jsonl", [{"photo": "https://example.com"}, {"photo": photo}])))
    assert isinstance(good, Request)
    assert isinstance(bad, BadRow)
    assert bad.message.startswith(f"a.jsonl:2: {problem.format(folder=tmp_path)}")
    assert len(bad.message) < 500


def test_images_go_into_the_last_message_of_the_user(write) -> None:
    """After its text, also when that is in parts, for every form of a row."""
    photo = "https://example.com/a.png"
    image = {"type": "image_url", "image_url": {"url": photo}}
    text = {"type": "text", "text": "b"}
    roles = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "b"}]
    last_turn = {"role": "assistant", "content": "z"}
    in_parts = [{"role": "user", "content": [text]}]
    rows = [
        {"messages": [*roles, last_turn], "photo": photo},
        {"messages": in_parts, "photo": photo},
        {"prompt": "b", "photo": photo},
        {"custom_id": "1", "body": {"messages": in_parts}, "photo": photo},
        {"messages": [last_turn], "photo": photo},
    ]
    asked = Job(
        input=Input(path=(write("a.jsonl", rows),)), prompt=PromptTemplates(images="photo"), model=Model(names=("m",))
    )
    *made, last = entries(asked)
    messages = [json.loads(entry.body)["messages"] for entry in made]
    assert messages[0] == [*roles[:2], {"role": "user", "content": [text, image]}, last_turn]
    assert messages[1:] == [[{"role": "user", "content": [text, image]}]] * 3
    assert isinstance(last, BadRow)
    assert last.message == "a.jsonl:5: photo: has images but no user message to put them into"


def test_the_key_is_that_of_the_images_content(write) -> None:
    """Another image is another request; the same image is the same request, wherever and however it is stored."""
    write("one.png", picture("1"))
    write("again.png", picture("1"))
    write("two.png", picture("2"))
    photos = ["one.png", "again.png", data_url(picture("1")), "two.png", "https://example.com/1.png"]
    made = entries(job(write("a.jsonl", [{"photo": photo} for photo in photos])))
    keys = [entry.key for entry in made]
    assert len({*keys[:3]}) == 1
    assert len({*keys}) == 3
    before = entries(job(write("a.jsonl", [{"photo": "two.png"}])))[0].key
    write("two.png", picture("3"))
    assert entries(job(write("a.jsonl", [{"photo": "two.png"}])))[0].key != before


def test_every_model_and_sample_gets_the_image(write) -> None:
    """The key differs only where the request differs."""
    write("x.png", picture("1"))
    made = entries(job(write("a.jsonl", [{"photo": "x.png"}]), names=("a", "b"), num_samples=2, seed=1))
    assert [urls(entry) for entry in made] == [[data_url(picture("1"))]] * 4
    assert len({entry.key for entry in made}) == 4


def test_a_text_that_looks_like_the_marker_of_an_image_stays_a_text(write) -> None:
    """A prompt cannot refer to an image in another part of it."""
    write("x.png", picture("1"))
    [entry] = entries(job(write("a.jsonl", [{"photo": "x.png"}])))
    name = Attachments("photo", only_images=True)._attachment(picture("1"))[1].name
    text = f'look: {{"url":"{name}"}}'
    asked = Job(
        input=Input(path=(write("b.jsonl", [{"prompt": text, "photo": "x.png"}]),)),
        prompt=PromptTemplates(images="photo"),
        model=Model(names=("m",)),
    )
    [entry] = entries(asked)
    content = json.loads(entry.body)["messages"][0]["content"]
    assert content[0]["text"] == text
    assert content[1]["image_url"]["url"] == data_url(picture("1"))


def test_many_images_of_one_row_are_not_all_read_when_they_are_too_many(write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that cannot be sent are not kept in memory."""
    monkeypatch.setattr(attachments, "MAX_BODY_BYTES", 1 << 20)
    read = []
    opened = attachments._opened
    monkeypatch.setattr(attachments, "_opened", lambda path: read.append(path) or opened(path))
    write("x.png", picture(size=300_000))
    rows = [{"photo": "https://example.com"}, {"photo": ["x.png"] * 100}]
    bad = entries(job(write("a.jsonl", rows)))[1]
    assert isinstance(bad, BadRow)
    assert bad.message == "a.jsonl:2: photo: holds images of more than 1 MiB, the most that can be sent"
    assert len(read) == 3


def test_images_are_read_with_their_batch(write, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one batch is in memory; the check of the input reads one image."""
    read = []
    opened = attachments._opened
    monkeypatch.setattr(attachments, "_opened", lambda path: read.append(path.name) or opened(path))
    names = [f"{number}.png" for number in range(10)]
    for name in names:
        write(name, picture(name, size=1 << 20))
    with Source(job(write("a.jsonl", [{"photo": name} for name in names]))) as source:
        source.open()
        assert set(read) == {"0.png"}
        read.clear()
        for count, batch in enumerate(source.batches(), 1):
            assert len(batch) == 1
            assert read == names[:count]
        assert count == 10


def test_a_column_that_is_not_there_is_refused(write) -> None:
    """The message names the nearest column."""
    with pytest.raises(InputError, match=r"has no column photo, which prompt\.images names; did you mean photos\?"):
        entries(job(write("a.jsonl", [{"photos": "x.png"}])))
