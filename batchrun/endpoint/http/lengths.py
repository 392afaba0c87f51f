"""Makes one of several equal Content-Length headers of an answer, which some gateways add to each other's. Pure.

The parser refuses such an answer, which is paid for, although a recipient may take equal lengths as one. Lengths that
differ stay: where such an answer ends, nobody knows. Source: RFC 9110, 8.6.
"""

import re

_LENGTH = re.compile(rb"\ncontent-length:([^\r\n]*)\r?(?=\n)", re.IGNORECASE)
"""A header with a length, or with a list of lengths."""

_END = re.compile(rb"\n\r?\n")


def with_one_length(data: bytes) -> bytes | None:
    """Return the beginning of an answer with one length in its head; None where it has not several equal ones.

    Args:
        data: what has arrived of the answer, with its whole head.
    """
    end = _END.search(data)
    if end is None:
        return None
    head, rest = data[: end.end()], data[end.end() :]
    lengths = [each.strip() for value in _LENGTH.findall(head) for each in value.split(b",")]
    if len(lengths) < 2 or set(lengths) != {lengths[0]} or not lengths[0].isdigit():
        return None
    status, _, lines = _LENGTH.sub(b"", head).partition(b"\n")
    return b"%b\nContent-Length: %b\r\n%b%b" % (status, lengths[0], lines, rest)
