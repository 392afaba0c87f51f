from typing import Any

import pytest
from harness.pictures import HEADS, picture

from batchrun.prompts.media import HEAD_BYTES, carried, content_part, media_type, url_type

FILES = {
    "application/pdf": b"%PDF-1.7\n",
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "audio/mp3": b"ID3\x04\0\0",
    "audio/flac": b"fLaC\0\0\0\x22",
    "audio/ogg": b"OggS\0\2",
    "audio/m4a": b"\0\0\0\x20ftypM4A \0\0\0\0",
    "audio/aac": b"\xff\xf1\x50\x80",
    "video/mp4": b"\0\0\0\x20ftypisom\0\0\2\0",
    "video/quicktime": b"\0\0\0\x14ftypqt  ",
    "video/webm": b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm",
    "video/x-matroska": b"\x1a\x45\xdf\xa3\xa3B\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x88matroska",
    "video/x-msvideo": b"RIFF\x24\0\0\0AVI LIST",
    "video/mpeg": b"\0\0\1\xba\x44",
}


@pytest.mark.parametrize("kind", [*FILES, *HEADS])
def test_the_kind_of_a_file_is_found_from_its_first_bytes(kind: str) -> None:
    data = picture(kind=kind) if kind in HEADS else FILES[kind].ljust(HEAD_BYTES, b"\0")
    assert media_type(data) == kind


def test_a_sound_without_tags_is_known_by_its_first_frame() -> None:
    """As LAME and ffmpeg write it with `-id3v2_version 0`."""
    assert media_type(b"\xff\xfb\x90\x64" + bytes(60)) == "audio/mp3"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"PNG", b"BM is a text that begins like a picture", b"<svg xmlns='...'></svg>", b"\xff\xd8"),
        *(
            b"RIFF....TEXT",
            b"\xff\xfet\0e\0x\0t\0",
            b"\xff\xfb\xf0\x00",
            b"\x1a\x45\xdf\xa3",
            b"PK\3\4",
            b"the %PDF-1.7",
        ),
        b"\0\0\0\x20ftypxxxx",
    ],
)
def test_other_bytes_have_no_kind(data: bytes) -> None:
    """A text has none, whatever letters it begins with; UTF-16 begins almost like a sound."""
    assert media_type(data.ljust(HEAD_BYTES, b" ")) is None


@pytest.mark.parametrize(
    ("kind", "is_url", "part"),
    [
        ("image/png", False, {"type": "image_url", "image_url": {"url": "X"}}),
        ("image/", True, {"type": "image_url", "image_url": {"url": "X"}}),
        ("audio/mp3", False, {"type": "input_audio", "input_audio": {"data": "X", "format": "mp3"}}),
        ("audio/", True, {"type": "audio_url", "audio_url": {"url": "X"}}),
        ("video/mp4", False, {"type": "video_url", "video_url": {"url": "X"}}),
        ("application/pdf", False, {"type": "file", "file": {"filename": "document.pdf", "file_data": "X"}}),
        ("application/pdf", True, {"type": "file", "file": {"filename": "document.pdf", "file_data": "X"}}),
    ],
)  # fmt: skip
def test_each_kind_has_its_part(kind: str, is_url: bool, part: dict[str, Any]) -> None:
    assert content_part(kind, "X", is_url=is_url) == part


def test_only_sounds_travel_without_the_head_of_a_data_url() -> None:
    assert carried("audio/wav", b"AAAA") == b"AAAA"
    assert carried("application/pdf", b"AAAA") == b"data:application/pdf;base64,AAAA"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.com/a.PDF?page=2", "application/pdf"),
        ("https://example.com/a.mp3#t=3", "audio/"),
        ("https://example.com/a.mov", "video/"),
        ("https://example.com/a.jpeg", "image/"),
        ("https://example.com/a", None),
        ("https://example.com/a.docx", None),
    ],
)
def test_the_ending_of_a_url_shows_its_kind(url: str, kind: str | None) -> None:
    assert url_type(url) == kind
