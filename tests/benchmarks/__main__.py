"""Measure the cost of each part of batchrun, and print it next to its target and an earlier run.

It starts its own servers in a scratch folder and keeps the figures in runs/benchmarks.jsonl.
"""

import argparse
import dataclasses
import shutil
import signal
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # so that `sockets.py` and the others here do not hide other modules

from benchmarks import connections, embeddings, instructions, million, rows, short, start, streaming
from benchmarks.endpoint import server_name
from benchmarks.figures import find_before, keep, print_head, print_part, record
from benchmarks.sizes import QUICK, Sizes

PARTS = {
    "start": start,
    "rows": rows,
    "instructions": instructions,
    "embeddings": embeddings,
    "connections": connections,
    "streaming": streaming,
    "million": million,
    "short": short,
}


_SLOW = "instructions"
"""The part that takes minutes whatever the sizes: `--quick` leaves it out, unless it is named."""


def main() -> None:
    """Measure the named parts, or all."""
    arguments = _arguments()
    chosen = QUICK if arguments.quick else Sizes()
    given = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Sizes)}
    sizes = dataclasses.replace(chosen, **{name: value for name, value in given.items() if value is not None})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that child processes are stopped
    if shutil.disk_usage(tempfile.gettempdir()).free < sizes.disk_bytes:
        room = f"{sizes.disk_bytes / 2**30:.1f} GiB"
        sys.exit(f"{tempfile.gettempdir()}: less than {room} free; make room, set TMPDIR, or measure less with --quick")
    kept = record(server_name(), dataclasses.asdict(sizes), arguments.name)
    parts = arguments.parts or [name for name in PARTS if not (arguments.quick and name == _SLOW)]
    before = find_before(kept, parts, arguments.against)
    print_head(kept, before)
    try:
        for name in parts:
            with tempfile.TemporaryDirectory(prefix="batchrun-benchmark-") as scratch:
                figures = []
                for figure in PARTS[name].measure(sizes, Path(scratch)):  # each is printed as soon as it is known
                    print_part(name, [figure], before)
                    figures.append(figure)
            kept["figures"][name] = {figure.name: figure.value for figure in figures}
    finally:
        if kept["figures"]:
            keep(kept)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: all of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, less than two minutes in total")
    parser.add_argument("--name", help="keep the figures under this name instead of the commit")
    parser.add_argument("--against", metavar="COMMIT", help="compare with the run of this commit instead of the last")
    for field in dataclasses.fields(Sizes):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=int, metavar="N", help=f"default: {field.default}")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    main()
