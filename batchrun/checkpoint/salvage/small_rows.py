"""The rows of small tables that a salvage finds, and which of them are what was stored. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from batchrun.checkpoint.row_checksums import RowName, row_checksum


class _Version(NamedTuple):
    """One version of a row."""

    columns: Sequence[Any]
    is_current: bool


class SmallRows:
    """All versions of the rows of small tables, and their checksums."""

    def __init__(self) -> None:
        self._versions: dict[RowName, list[_Version]] = {}
        self._checksums: dict[RowName, set[int]] = {}

    def take(self, table: str, key: Any, columns: Sequence[Any], *, is_current: bool) -> None:
        """Keep a version of a row; `columns` has its key where that is one of them."""
        self._versions.setdefault(RowName(table, key), []).append(_Version(columns, is_current))

    def take_checksum(self, table: str, key: Any, checksum: int) -> None:
        """Keep the checksum of a row: one that counts now."""
        self._checksums.setdefault(RowName(table, key), set()).add(checksum)

    def rows(self, table: str) -> list[Sequence[Any]]:
        """Return the columns of each row that is sound, in the order of keys: of several versions the first.

        A row without a checksum, of an older version, is sound. Where only outdated versions of a row are left, the
        first of these is.
        """
        names = sorted(name for name in self._versions if name.table == table)
        return [first for name in names if (first := next(self._sound(name), None)) is not None]

    def versions(self, table: str) -> list[Sequence[Any]]:
        """Return the columns of all sound versions of the rows, first those that `rows` returns."""
        return [columns for name in self._versions if name.table == table for columns in self._sound(name)]

    def left_out(self) -> list[RowName]:
        """Return the rows that have changed or are lost."""
        return [name for name in self._checksums if not any(self._sound(name))]

    def _sound(self, name: RowName) -> Iterator[Sequence[Any]]:
        versions, checksums = self._versions.get(name, []), self._checksums.get(name)
        current = [each.columns for each in versions if each.is_current]
        if not current:
            yield from (each.columns for each in versions)
        for columns in current:
            if checksums is None or row_checksum(name.id, *columns) in checksums:
                yield columns
