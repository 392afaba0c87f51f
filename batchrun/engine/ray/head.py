"""Whether the head of a Ray cluster listens at an address. Ray would try for a minute and not say what is wrong."""

import contextlib
import os
import socket

from batchrun.errors import JobError

_REACH_S = 5.0
"""How long the head of a cluster may take to accept a connection, and at most to show that it is one."""

_FRAME_BYTES, _SETTINGS = 9, 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + bytes([_SETTINGS]) + bytes(5)
"""How a client of HTTP/2 begins, as gRPC is; the first frame of a server has settings too. Source: RFC 9113, 3.4."""

_SHOWN_BYTES = 60


def uses_tls() -> bool:
    """Return whether messages between the nodes of a cluster are encrypted."""
    return os.environ.get("RAY_USE_TLS") == "1"


def check_head(origin: str, address: str, host: str, port: int) -> None:
    """Refuse an address where nothing listens, or where something else than Ray does.

    A head that is too busy to show what it is is left to Ray, and so is one with TLS.

    Args:
        origin: the setting or the variable that the address is from.
        address: as the user wrote it.
        host: of it.
        port: of it.

    Raises:
        JobError: nothing listens there, or something else.
    """
    try:
        with socket.create_connection((host, port), timeout=_REACH_S) as opened:
            reply = None if uses_tls() else _reply(opened)
    except OSError as problem:
        reason = f"no reply within {_REACH_S:g} s" if isinstance(problem, TimeoutError) else problem.strerror
        cure = f"start one there with ray start --head --port {port}, or correct the address"
        raise JobError(f"{origin}: no Ray cluster at {address} ({reason or problem}); {cure}") from None
    if reply is not None and (len(reply) < _FRAME_BYTES or reply[3] != _SETTINGS):
        raise JobError(
            f"{origin}: what listens at {address} is not the head of a Ray cluster ({_shown(reply)}); give the port "
            "of ray start --head, 6379 unless it names another; if the cluster uses TLS, set RAY_USE_TLS=1"
        )


def _reply(opened: socket.socket) -> bytes | None:
    """Return what the other side says to a client of HTTP/2, empty if it hangs up; None if nothing comes in time."""
    reply = b""
    with contextlib.suppress(ConnectionError):
        opened.sendall(_PREFACE)
        while len(reply) < _FRAME_BYTES:
            try:
                part = opened.recv(_SHOWN_BYTES)
            except TimeoutError:
                return reply or None
            if not part:
                break
            reply += part
    return reply


def _shown(reply: bytes) -> str:
    first = reply.decode("ascii", "replace").splitlines()[0][:_SHOWN_BYTES] if reply else ""
    return f"it replies {first!r}" if first.isascii() and first.isprintable() and first else "it does not speak gRPC"
