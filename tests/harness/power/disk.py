"""What a disk may hold after a power cut, given a record of what was done to a folder.

What was written before a sync of its file began that has ended is there. Of all that came later, anything may
be: nothing, all, some writes and others not, a part of a write, the new length without the data. Names are kept by
the folder they are in: what was created, renamed or removed since the last sync of the folder may be so or as before,
each for itself (`is_strict`), or up to a moment, as file systems with a journal do it, which also keep the name of a
file that is synced. A mapped page has the content of its last sync, or that of the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

SECTOR = 512
"""Bytes that a disk writes as a whole."""


class Step(NamedTuple):
    """One record."""

    at_ns: int
    kind: str
    fields: list[str]
    data: bytes


def steps_in(log: bytes) -> Iterator[Step]:
    """Yield the records of a log; one that is cut off at the end is left out."""
    at = 0
    while (end := log.find(b"\n", at)) >= 0:
        head, size = log[at:end].decode(errors="surrogateescape").rsplit("\t", 1)
        after = end + 1 + int(size)
        if after > len(log):
            return
        at_ns, rest = head.split(" ", 1)
        kind, *fields = rest.split("\t")
        yield Step(int(at_ns), kind, fields, log[end + 1 : after])
        at = after


class _File:
    """One file: its content that is sure to be on the disk, and what was done to it since, in order."""

    def __init__(self, content: bytes = b"") -> None:
        self.durable = content
        self.later: list[tuple[str, int, bytes]] = []
        self._settled = 0
        self.is_mapped = False

    @property
    def changes(self) -> int:
        """How many there were."""
        return self._settled + len(self.later)

    def settle(self, changes: int) -> None:
        """Take the first changes of all for durable."""
        count = max(0, changes - self._settled)
        self.durable = _applied(self.durable, self.later[:count])
        del self.later[:count]
        self._settled += count


def _applied(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    data = bytearray(content)
    for kind, at, new in changes:
        if kind == "size":
            data = data[:at].ljust(at, b"\0")
        elif kind == "whole":
            data = bytearray(new)
        else:
            data = data.ljust(at, b"\0")
            data[at : at + len(new)] = new
    return bytes(data)


class _Naming(NamedTuple):
    """A change of names in a folder."""

    kind: str
    name: str
    other: str
    file: _File | None


class Disk:
    """A recorded folder, from one power cut to the next."""

    def __init__(self, folder: Path, *, is_strict: bool) -> None:
        """Take what is there now for durable.

        Args:
            folder: where it is recorded.
            is_strict: whether any change of names may be lost until the folder is synced, whatever came later.
        """
        self._is_strict = is_strict
        self._names: dict[str, _File | None] = {}
        """The names on the disk; None: a folder."""
        self._inodes: dict[int, _File] = {}
        for path in sorted(folder.rglob("*")) if folder.exists() else []:
            inode = path.stat().st_ino
            file = None if path.is_dir() else self._inodes.setdefault(inode, _File(path.read_bytes()))
            self._names[str(path.relative_to(folder))] = file
        self._now = dict(self._names)
        self._later: list[_Naming] = []
        self._syncs: dict[str, tuple[_File | None, int, list[_Naming]]] = {}

    def follow(self, steps: Iterable[Step]) -> None:
        """Follow a record."""
        for step in steps:
            getattr(self, f"_{step.kind}")(step)

    def now(self) -> dict[str, bytes | None]:
        """Return what the folder holds if nothing is lost."""
        return {name: None if file is None else _applied(file.durable, file.later) for name, file in self._now.items()}

    def cut(self, random: Random, actual: Path | None = None) -> dict[str, bytes | None]:
        """Return what the folder may hold after a power cut now.

        Args:
            random: chooses.
            actual: the folder, if mapped files still have in it what they had at the cut.
        """
        names = self._cut_names(random)
        chosen: dict[int, bytes] = {}
        found: dict[str, bytes | None] = {}
        for name, file in names.items():
            if file is None:
                found[name] = None
            elif id(file) not in chosen:
                chosen[id(file)] = _cut_file(file, random, None if actual is None else actual / name)
            if file is not None:
                found[name] = chosen[id(file)]
        return {name: content for name, content in found.items() if _has_folder(name, found)}

    def _cut_names(self, random: Random) -> dict[str, _File | None]:
        names = dict(self._names)
        share = random.choice([0.0, 0.5, 1.0, random.random()])
        kept = self._later[: random.randint(0, len(self._later))] if share not in (0.0, 1.0) else self._later
        for each in kept if share else []:
            if self._is_strict and random.random() > share:
                continue
            _rename(names, each)
        return names

    # The records.

    def _create(self, step: Step) -> None:
        inode, name = step.fields
        file = self._inodes[int(inode)] = _File()
        self._name(_Naming("create", name, "", file))

    def _write(self, step: Step) -> None:
        self._of(step).later.append(("write", int(step.fields[1]), step.data))

    def _size(self, step: Step) -> None:
        self._of(step).later.append(("size", int(step.fields[1]), b""))

    def _whole(self, step: Step) -> None:
        self._of(step).later.append(("whole", 0, step.data))

    def _map(self, step: Step) -> None:
        self._of(step).is_mapped = True

    def _rename(self, step: Step) -> None:
        self._name(_Naming("rename", step.fields[0], step.fields[1], self._now[step.fields[0]]))

    def _link(self, step: Step) -> None:
        self._name(_Naming("link", step.fields[0], step.fields[1], self._now[step.fields[0]]))

    def _unlink(self, step: Step) -> None:
        if step.fields[0]:
            self._name(_Naming("unlink", step.fields[0], "", self._now[step.fields[0]]))

    def _mkdir(self, step: Step) -> None:
        if step.fields[0]:
            self._name(_Naming("create", step.fields[0], "", None))

    def _begin(self, step: Step) -> None:
        number, kind, what = step.fields
        if kind == "folder":
            self._syncs[number] = None, 0, [each for each in self._later if what in _folders_of(each)]
        else:
            file = self._inodes[int(what)]
            self._syncs[number] = file, file.changes, [] if self._is_strict else list(self._later)

    def _end(self, step: Step) -> None:
        file, changes, names = self._syncs.pop(step.fields[0])
        if file is not None:
            file.settle(changes)
        for each in names:
            if any(each is other for other in self._later):
                _rename(self._names, each)
        self._later = [each for each in self._later if not any(each is other for other in names)]

    def _of(self, step: Step) -> _File:
        return self._inodes[int(step.fields[0])]

    def _name(self, change: _Naming) -> None:
        _rename(self._now, change)
        self._later.append(change)


def _rename(names: dict[str, _File | None], change: _Naming) -> None:
    """Apply a change of names; one whose file is not there any more finds another by that name, and leaves it."""
    kind, name, other, file = change
    if kind == "create":
        names[name] = file
    elif kind == "link":
        names[other] = file
    elif kind == "rename":
        if names.get(name) is file:
            names.pop(name, None)
        names[other] = file
    elif names.get(name) is file:
        names.pop(name, None)


def _cut_file(file: _File, random: Random, actual: Path | None) -> bytes:
    if file.is_mapped and actual is not None and actual.exists() and random.random() < 0.5:
        return actual.read_bytes()
    later = file.later
    way = random.choice(("nothing", "all", "first", "some", "torn", "length"))
    if way == "all" or not later:
        return _applied(file.durable, later)
    if way == "nothing":
        return file.durable
    if way == "first":
        return _applied(file.durable, later[: random.randint(0, len(later))])
    share = random.random()
    kept = [change for change in later if random.random() < share]
    if way == "some":
        return _applied(file.durable, kept)
    if way == "torn":
        return _applied(file.durable, [part for change in kept for part in _torn(change, random)])
    content = _applied(file.durable, kept)
    return content.ljust(len(_applied(file.durable, later)), b"\0")


def _torn(change: tuple[str, int, bytes], random: Random) -> Iterator[tuple[str, int, bytes]]:
    """Yield what of a change arrives: of a write, some of its sectors."""
    kind, at, data = change
    if kind != "write" or random.random() < 0.7:
        yield change
        return
    start = 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (at + start) % SECTOR)
        if random.random() < 0.5:
            yield kind, at + start, data[start:end]
        start = end


def _folders_of(change: _Naming) -> set[str]:
    return {_folder_of(name) for name in (change.name, change.other) if name}


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def _has_folder(name: str, found: dict[str, bytes | None]) -> bool:
    folder = _folder_of(name)
    return not folder or (folder in found and _has_folder(folder, found))


def put(folder: Path, found: dict[str, bytes | None]) -> None:
    """Have a folder hold this, and nothing else. Files that had two names become two."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in sorted(found.items()):
        path = folder / name
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)
