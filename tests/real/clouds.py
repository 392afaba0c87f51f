"""Stand-ins for the object stores of three clouds, made by other projects, and their differences for a test."""

import base64
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyarrow import fs as arrow
from real.door import Door
from real.environments import Environment
from real.servers import serving

BUCKET = "bkt"

ACCOUNT = "batchruntest"
KEY = base64.b64encode(b"k" * 64).decode()
"""The key of an Azure storage account."""


@dataclass(frozen=True)
class Kind:
    """One cloud: how to start its stand-in, and how to reach it."""

    environment: str
    """Name in `.venv-real`."""
    command: Callable[[Environment, int, Path], list[str]]
    part: str
    """Matches the paths of requests that send a part of an upload."""
    look: str
    """Matches the paths of requests that ask whether the bucket exists."""
    url: str
    """URL of a path, as users write it."""
    variables: Callable[[str], Mapping[str, str]]
    """Address of a store → environment variables that users set for it."""
    system: Callable[[str], Any]
    """Address of a store → a file system for it that is independent of batchrun."""


def connection_string(address: str, key: str = KEY) -> str:
    """Return the connection string of an account, as Azure's tools use it."""
    return f"AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={address}/{ACCOUNT};"


def _azure(address: str) -> Any:
    host = urlsplit(address).netloc
    where = {"blob_storage_authority": host, "dfs_storage_authority": host}
    return arrow.AzureFileSystem(
        ACCOUNT, account_key=KEY, blob_storage_scheme="http", dfs_storage_scheme="http", **where
    )


KINDS = {
    "s3": Kind(
        environment="moto",
        command=lambda there, port, folder: [there.command("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        part="partNumber=",
        look=rf"^/{BUCKET}/?$",
        url=f"s3://{BUCKET}/{{}}",
        variables=lambda address: {
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        system=lambda address: arrow.S3FileSystem(
            access_key="k",
            secret_key="s",  # moto does not check keys
            region="us-east-1",
            endpoint_override=address,
            allow_bucket_creation=True,
        ),
    ),
    "gs": Kind(
        environment="gcs",
        command=lambda there, port, folder: [
            *(there.command("gcp-storage-emulator"), "--data-dir", str(folder), "start"),
            *("--in-memory", "--host", "127.0.0.1", "--port", str(port)),
        ],
        part="upload_id=",
        look=rf"/b/{BUCKET}(\?|$)",
        url=f"gs://{BUCKET}/{{}}?anonymous=true",
        variables=lambda address: {"CLOUD_STORAGE_EMULATOR_ENDPOINT": address},
        system=lambda address: arrow.GcsFileSystem(
            anonymous=True, scheme="http", endpoint_override=urlsplit(address).netloc, project_id="p"
        ),
    ),
    "az": Kind(
        environment="azurite",
        command=lambda there, port, folder: [
            *(
                there.command("azurite-blob"),
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                str(port),
                "--inMemoryPersistence",
            ),
            *("--skipApiVersionCheck", "--loose", "--disableTelemetry", "--silent"),
        ],
        part=r"comp=block(&|$)",
        look=rf"/{BUCKET}\?restype=container$",
        url=f"az://{BUCKET}/{{}}",
        variables=lambda address: {"AZURE_STORAGE_CONNECTION_STRING": connection_string(address)},
        system=_azure,
    ),
}

_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "CLOUD_STORAGE_", "GCE_METADATA_")
"""Prefixes of the environment variables that the clients of the clouds read."""


class Cloud:
    """A store with an empty bucket, and the gateway in front of it."""

    def __init__(self, kind: Kind, address: str) -> None:
        self.kind = kind
        self.door = Door(address, kind.part)
        self.variables = kind.variables(self.door.url)
        # Azurite answers a HEAD request for hierarchical folders in a way that makes the next request fail for 7 s,
        # unless there is a door in between. Google's client runs in this process: with a door, each of the two would
        # wait for the other.
        self._system = kind.system(self.door.url if kind.environment == "azurite" else address)
        self._system.create_dir(BUCKET)
        for name in self.everything():
            self._system.delete_file(f"{BUCKET}/{name}")

    def lead_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the environment variables for this store, without any variable of the user."""
        for name in list(os.environ):
            if name.startswith(_VARIABLES):
                monkeypatch.delenv(name)
        for name, value in self.variables.items():
            monkeypatch.setenv(name, value)

    def url(self, path: str) -> str:
        """Return the URL of a path in the bucket."""
        return self.kind.url.format(path)

    def everything(self) -> dict[str, int]:
        """Return all files of the bucket: path → size."""
        found = self._system.get_file_info(arrow.FileSelector(BUCKET, recursive=True))
        return {info.path.removeprefix(f"{BUCKET}/"): info.size for info in found if info.type == arrow.FileType.File}

    def visible(self) -> dict[str, int]:
        """Return the files that are not hidden, as batchrun sees them in an input folder."""
        return {path: size for path, size in self.everything().items() if not Path(path).name.startswith(".")}

    def read(self, path: str) -> bytes:
        """Return the content of a file in the bucket."""
        with self._system.open_input_stream(f"{BUCKET}/{path}", compression=None) as file:
            return bytes(file.read())

    def write(self, path: str, content: bytes) -> None:
        """Write a file into the bucket."""
        with self._system.open_output_stream(f"{BUCKET}/{path}", compression=None) as stream:
            stream.write(content)


@contextmanager
def running(kind: Kind, there: Environment, folder: Path) -> Iterator[str]:
    """Run a stand-in; yield its address."""
    with serving(
        lambda port: kind.command(there, port, folder), folder=folder, AZURITE_ACCOUNTS=f"{ACCOUNT}:{KEY}"
    ) as address:
        yield address
