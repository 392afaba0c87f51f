"""One row in full: messages with their roles, images by their beginning, values that are there."""

from typing import Any

import orjson

from batchrun.cli.row_text import request_lines, row_lines
from batchrun.records import Request


def lines_of(*messages: dict[str, Any], **parameters: Any) -> str:
    body = orjson.dumps({"model": "m", "messages": messages, **parameters})
    return "\n".join(request_lines(Request(0, "m", 0, b"", body, None)))


def test_messages_stand_under_their_roles() -> None:
    shown = lines_of(
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "one\n\ntwo\x1b"}, temperature=0
    )
    assert shown == 'system\n  Be brief.\nuser\n  one\n  \n  two\\x1b\nparameters\n  {"temperature":0}'


def test_an_image_is_shown_by_its_beginning() -> None:
    url = "data:image/png;base64," + "A" * 1000
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    shown = lines_of({"role": "user", "content": parts})
    assert shown == f"user\n  What?\n  [image {url[:80]}… (1,022 characters)]"


def test_other_parts_and_keys_are_shown_as_json() -> None:
    call = {"id": "1", "function": {"name": "f"}}
    shown = lines_of(
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "user", "content": [{"type": "input_audio", "data": "x"}]},
    )
    assert '{"tool_calls":[{"id":"1","function":{"name":"f"}}]}' in shown
    assert '{"type":"input_audio","data":"x"}' in shown


def test_values_that_are_there_stand_next_to_or_below_their_names() -> None:
    row = {"row": 3, "note": None, "text": "x" * 61, "response": "y", "score": 0.5}
    assert list(row_lines(row, list(row))) == ["row    3", "text", f"  {'x' * 61}", "response", "  y", "score  0.5"]


def test_files_are_shown_by_their_kind_and_how_they_begin() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 1_000, "format": "wav"}}
    pdf = {"type": "file", "file": {"filename": "document.pdf", "file_data": "https://example.com/a.pdf"}}
    shown = lines_of({"role": "user", "content": [sound, pdf]})
    assert f"[audio {'A' * 80}… (1,000 characters)]" in shown
    assert "[file https://example.com/a.pdf]" in shown
