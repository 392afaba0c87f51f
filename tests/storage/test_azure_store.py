"""Azure's client is used in a process of its own, whatever is asked of it."""

import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs as arrow
from storage.conftest import TimeIsUp

from batchrun.storage import azure_store, objects
from batchrun.storage.apart import Apart
from batchrun.storage.places import store_of
from batchrun.storage.remote import Found
from batchrun.storage.urls import Place

PLACE = Place.of("az://bkt/a.txt")


class Called:
    """Notes what would be called in the other process, and calls it here."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def call(self, function: Callable[..., Any], *arguments: Any, patience_s: float = 0.0) -> Any:
        self.names.append(function.__name__)
        return function(*arguments)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    """The calls, with a folder as the store."""
    (tmp_path / "store/bkt/sub").mkdir(parents=True)
    (tmp_path / "store/bkt/a.txt").write_bytes(b"0123456789")
    system = arrow.SubTreeFileSystem(str(tmp_path / "store"), arrow.LocalFileSystem())
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (system, host))
    noted = Called()
    monkeypatch.setattr(azure_store, "_apart", noted)
    return noted


@pytest.mark.parametrize("url", ["az://bkt/a", "abfs://bkt/a", "abfss://bkt@x.dfs.core.windows.net/a"])
def test_all_of_its_schemes_have_this_store(url: str) -> None:
    """The other stores' clients stay in this process."""
    assert store_of(Place.of(url)) is azure_store
    assert store_of(Place.of("s3://bkt/a")) is objects
    assert isinstance(azure_store._apart, Apart)


def test_everything_is_asked_there(called: Called, tmp_path: Path) -> None:
    """Reading too: each part is a call, since a call may be made again in another process."""
    (tmp_path / "b.txt").write_bytes(b"new")
    azure_store.check_upload(PLACE)
    azure_store.upload([tmp_path / "b.txt"], PLACE.with_key("sub"))
    found = azure_store.look(PLACE)
    assert found is not None
    with azure_store.open_file(found) as file:
        assert file.read() == b"0123456789"
    with azure_store.open_file(found) as file:
        file.seek(7)
        assert file.read(2) == b"78"
    assert {each.place.key for each in azure_store.files(PLACE.with_key(""), is_deep=True)} == {"a.txt", "sub/b.txt"}
    assert {*called.names} == {"check_upload", "_upload", "look", "fetch", "_files"}


def test_an_upload_reports_each_piece(called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a large file would be taken for a call that hangs."""
    (tmp_path / "b.txt").write_bytes(b"12345678")
    pieces: list[int] = []
    monkeypatch.setattr(azure_store, "advance", lambda: pieces.append(1))
    monkeypatch.setattr(objects, "_PIECE_BYTES", 3)
    azure_store.upload([tmp_path / "b.txt"], PLACE.with_key("sub"))
    assert len(pieces) == 3


def test_a_server_that_never_answers_is_an_error_and_not_a_wait_without_end(
    monkeypatch: pytest.MonkeyPatch, time_is_up: TimeIsUp
) -> None:
    """As pyarrow's client itself would wait. Time is up as soon as the server was asked, and once more."""
    monkeypatch.setattr(azure_store, "_apart", Apart("pyarrow's client for Azure"))
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as connections:
        silent.setblocking(False)

        def was_asked() -> bool:
            with suppress(BlockingIOError):
                connections.enter_context(silent.accept()[0])
                return True
            return False

        timers = time_is_up(was_asked)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/account"
        monkeypatch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING", f"AccountName=account;BlobEndpoint={address};AccountKey=a2V5"
        )
        expected = (
            r"^pyarrow's client for Azure was silent for 120 s, 2 times in a row; the store or the network does not"
        )
        with pytest.raises(OSError, match=expected):
            azure_store.look(PLACE)
    assert timers.made == 2


def test_a_file_that_is_gone_or_changed_is_not_read(called: Called) -> None:
    found = azure_store.look(PLACE)
    assert found is not None
    with (
        pytest.raises(Exception, match="has changed while it was read"),
        azure_store.open_file(Found(PLACE, found.size_bytes, "another")) as file,
    ):
        file.read()
