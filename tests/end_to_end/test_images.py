"""Images of a column: sent in the form that the endpoint expects, and unchanged in the results."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.pictures import picture
from harness.prompts import results, write_rows

from batchrun.endpoint.pool import supply

ASK = ("-t", "What is it?", "--images", "photo")


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect the bodies that the endpoint receives."""
    from batchrun.simulator import server

    got: list[dict[str, Any]] = []
    parse = server.parse_chat

    def parsed(raw: bytes, **settings: Any) -> Any:
        got.append(json.loads(raw))
        return parse(raw, **settings)

    monkeypatch.setattr(server, "parse_chat", parsed)
    return got


def images(body: dict[str, Any]) -> list[str]:
    content = body["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in content[1:]] if isinstance(content, list) else []


def test_images_of_hugging_face_are_sent_and_kept(run: Any, bodies: list[dict[str, Any]]) -> None:
    """The column keeps its type and its bytes."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [{"bytes": picture("a"), "path": "a.png"}, {"bytes": picture("b", "image/jpeg"), "path": None}, None]
    pq.write_table(pa.table({"photo": pa.array(values, kind)}), "in.parquet")
    assert run("in.parquet", *ASK).code == 0
    sent = sorted(image.split(";")[0] for body in bodies for image in images(body))
    assert sent == ["data:image/jpeg", "data:image/png"]
    table = pq.read_table("out/results.parquet")
    assert table.schema.field("photo").type == kind
    assert table["photo"].to_pylist() == values
    assert set(table["status"].to_pylist()) == {"completed"}


def test_images_from_files_and_urls_are_sent(run: Any, bodies: list[dict[str, Any]]) -> None:
    """Files are next to the input. A missing file is a failed row with a reason, and is sent once it exists."""
    Path("data/pictures").mkdir(parents=True)
    Path("data/pictures/a.png").write_bytes(picture("a"))
    rows = [{"photo": "pictures/a.png"}, {"photo": "https://example.com/b.png"}, {"photo": "pictures/c.png"}]
    write_rows("data/in.jsonl", *rows)
    assert run("data/in.jsonl", *ASK).code == 1
    assert len(bodies) == 2
    missing = results()[2]
    assert missing["error_kind"] == "bad_row"
    assert missing["error"] == "in.jsonl:3: photo: data/pictures/c.png cannot be read: No such file or directory"
    Path("data/pictures/c.png").write_bytes(picture("c"))
    assert run("data/in.jsonl", *ASK, "--retry-failed").code == 0
    assert len(bodies) == 3
    assert [row["photo"] for row in results()] == [row["photo"] for row in rows]
    assert results()[0]["prompt_tokens"] > 85


def test_an_edited_job_keeps_the_answers_about_the_same_image(run: Any, bodies: list[dict[str, Any]]) -> None:
    """The content of the image counts, not its name."""
    Path("a.png").write_bytes(picture("a"))
    Path("b.png").write_bytes(picture("b"))
    write_rows("in.jsonl", {"photo": "a.png"}, {"photo": "b.png"})
    assert run("in.jsonl", *ASK).code == 0
    Path("a.png").rename("c.png")
    Path("b.png").write_bytes(picture("other"))
    write_rows("in.jsonl", {"photo": "b.png"}, {"photo": "c.png"})
    assert run("in.jsonl", *ASK, "--yes").code == 0
    assert len(bodies) == 3
    assert len({image for body in bodies for image in images(body)}) == 3


def test_another_image_column_sends_the_rows_again(run: Any, bodies: list[dict[str, Any]]) -> None:
    """The images are a part of the request."""
    row = {"photo": "https://example.com/a.png", "other": "https://example.com/b.png"}
    write_rows("in.jsonl", row)
    assert run("in.jsonl", *ASK).code == 0
    assert run("in.jsonl", "-t", "What is it?", "--images", "other", "--yes").code == 0
    assert [images(body) for body in bodies] == [[row["photo"]], [row["other"]]]


def test_large_images_do_not_fill_the_memory(run: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read shortly before they are sent, and released when they are answered."""
    monkeypatch.setattr(supply, "READY_BYTES", 4 << 20)
    for number in range(120):
        Path(f"{number}.png").write_bytes(picture(str(number), size=1 << 20))
    write_rows("in.jsonl", *({"photo": f"{number}.png"} for number in range(120)))
    endpoint.change(latency_s=0.02)
    tracemalloc.start()
    try:
        assert run("in.jsonl", *ASK, "-c", 3).code == 0
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (
        peak_bytes < 100 << 20
    )  # all images are 160 MiB; the endpoint, which decodes three at a time, runs in this process too
