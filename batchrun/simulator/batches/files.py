"""Files that were uploaded, or that batches have written. In memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from batchrun.simulator.errors import Problem, RejectedError

_KEPT_S = 30 * 24 * 3600
"""How long files of batches are kept. Source: OpenAI's reference; they are not deleted here."""


@dataclass(frozen=True, slots=True)
class File:
    """One file."""

    id: str
    name: str
    purpose: str
    content: bytes
    created_at: int
    owner: str
    """Account that it belongs to."""

    @property
    def entry(self) -> dict[str, Any]:
        """The file object of the API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": self.created_at + _KEPT_S,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """All files by id, in the order in which they were made."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}

    def add(self, name: str, purpose: str, content: bytes, owner: str = "") -> File:
        """Keep a file of an account."""
        file = File(f"file-{uuid4().hex}", name, purpose, content, int(time.time()), owner)
        self._files[file.id] = file
        return file

    def find(self, file_id: str, owner: str = "") -> File:
        """Return a file of an account.

        Raises:
            RejectedError: it has none with this id.
        """
        if file_id not in self._files or self._files[file_id].owner != owner:
            raise RejectedError(Problem(404, f"No such File object: {file_id}", param="id"))
        return self._files[file_id]

    def delete(self, file_id: str, owner: str = "") -> None:
        """Delete a file; one that is not there is an error as in `find`."""
        del self._files[self.find(file_id, owner).id]

    def all(self, purpose: str | None, owner: str | None = None) -> list[File]:
        """Return all files of a purpose and of an account, or of any; the newest first."""
        files = (each for each in reversed([*self._files.values()]) if owner in (None, each.owner))
        return [each for each in files if purpose in (None, each.purpose)]
