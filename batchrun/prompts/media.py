"""What kind of file some bytes are, and the part of a message that sends such a file. Pure.

The parts are those that OpenAI's reference and vLLM share: `image_url`, `input_audio` for sounds that travel in the
request, and `file` for PDF, which vLLM does not take. OpenAI has no part for a video or for the URL of a sound: they
are vLLM's `video_url` and `audio_url`. The URL of a PDF goes where OpenRouter takes it, into `file_data`.
"""

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

HEAD_BYTES = 64
"""How many bytes of a file show what kind it is: a Matroska file names its kind after up to 40."""

PDF = "application/pdf"

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", PDF),
    (b"ID3", "audio/mp3"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\0\0\1\xba", "video/mpeg"),
)
"""First bytes → media type. Sources: WHATWG, "MIME Sniffing"; TIFF 6.0; RFC 9639 (FLAC); ISO 13818-1 (MPEG)."""

_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
"""Form of a RIFF file → media type. Source: WHATWG, "MIME Sniffing"."""

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
    **dict.fromkeys((b"M4A ", b"M4B "), "audio/m4a"),
    **dict.fromkeys((b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash"), "video/mp4"),
    **dict.fromkeys((b"M4V ", b"MSNV", b"3gp4", b"3gp5", b"3gp6"), "video/mp4"),
    b"qt  ": "video/quicktime",
}
"""Major brand of an ISO media file → media type. Source: the registry of MP4RA."""

_BMP_HEADER_BYTES = {12, 16, 40, 52, 56, 64, 108, 124}
"""Lengths of a BMP file's second header: two letters alone would let many texts pass."""

_ENDINGS = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic"), "image/"),
    ".pdf": PDF,
    **dict.fromkeys((".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac"), "audio/"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpeg", ".mpg"), "video/"),
}
"""Ending of a URL → how its media type begins."""

IMAGE_KINDS = "PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF or HEIC"
FILE_KINDS = "PDF; WAV, MP3, FLAC, Ogg, M4A or AAC; MP4, MOV, WebM, MKV, AVI or MPEG; or an image"

_FILE_NAME = "document.pdf"
"""Name of every PDF: OpenAI wants one, and with its own a file that was renamed would be another request."""


def media_type(head: bytes) -> str | None:
    """Return the media type of a file from its first `HEAD_BYTES`; None where they show no kind that can be sent.

    What follows the slash of a sound is the name that `input_audio` has for its format.
    """
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "image/bmp"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head else "video/x-matroska" if b"matroska" in head else None
    return _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else _frame_type(head)


def _frame_type(head: bytes) -> str | None:
    """Return the type of a sound that begins with a frame; its header has values that no encoder writes."""
    if len(head) < 4 or head[0] != 0xFF:
        return None
    if head[1] & 0xE6 == 0xE2:  # MPEG layer III; source: ISO 11172-3, 2.4.2.3
        bits, rate = head[2] >> 4, head[2] >> 2 & 3
        return "audio/mp3" if bits not in (0, 15) and rate != 3 else None
    # ADTS; source: ISO 13818-7, 6.2
    return "audio/aac" if head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13 else None


def url_type(url: str) -> str | None:
    """Return the media type of what a URL names, as far as its ending shows it; None where it does not."""
    return _ENDINGS.get(PurePosixPath(urlsplit(url).path).suffix.lower())


def content_part(kind: str, content: str, *, is_url: bool) -> dict[str, Any]:
    """Return the part of a message that sends a file.

    Args:
        kind: its media type.
        content: a URL, or what `carried` makes of the file's bytes.
        is_url: whether the file is elsewhere.
    """
    if kind == PDF:
        return {"type": "file", "file": {"filename": _FILE_NAME, "file_data": content}}
    name, _, form = kind.partition("/")
    if name == "audio" and not is_url:
        return {"type": "input_audio", "input_audio": {"data": content, "format": form}}
    return {"type": f"{name}_url", f"{name}_url": {"url": content}}


def carried(kind: str, encoded: bytes) -> bytes:
    """Return how a file's bytes in base64 travel in its part: as they are in `input_audio`, else as a data URL."""
    return encoded if kind.startswith("audio/") else b"data:%b;base64,%b" % (kind.encode(), encoded)
