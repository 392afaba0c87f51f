"""The smallest images whose first bytes identify their format."""

HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "image/bmp": b"BM" + bytes(12) + (40).to_bytes(4, "little"),
    "image/tiff": b"II*\0",
    "image/avif": b"\0\0\0\x20ftypavif",
    "image/heic": b"\0\0\0\x18ftypheic",
}


def picture(content: str = "", kind: str = "image/png", size: int = 64) -> bytes:
    """Return the bytes of a small image; another content gives another image."""
    return (HEADS[kind] + content.encode()).ljust(size, b".")
