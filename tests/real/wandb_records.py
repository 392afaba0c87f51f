"""Print as JSON what an offline run of W&B recorded. Run it with a Python that has the SDK.

The file is a log in LevelDB's format: blocks of 32 KiB, records in pieces of checksum, length and type; then protobuf.
"""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

_BLOCK, _HEAD = 32_768, 7
_FULL, _LAST = 1, 4


def records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log."""
    place, held = _HEAD, b""  # the head of the file is as long as the head of a piece
    while place + _HEAD <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _HEAD:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + _HEAD])
        held += data[place + _HEAD : place + _HEAD + length]
        place += _HEAD + length
        if kind in (_FULL, _LAST):
            yield held
            held = b""


def main() -> None:
    """Print history, config, summary and artifacts."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, object] = {"history": [], "config": {}, "summary": {}, "artifacts": [], "run": None, "exit": None}
    for each in records(Path(sys.argv[1]).read_bytes()):
        record = Record.FromString(each)
        if record.HasField("history"):
            items = record.history.item
            found["history"].append({".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
        elif record.HasField("summary"):
            found["summary"] |= {
                ".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.summary.update
            }
        elif record.HasField("run"):
            found["run"] = [record.run.entity, record.run.project, record.run.run_id, record.run.display_name]
            found["config"] |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
        elif record.HasField("artifact"):
            files = record.artifact.manifest.contents
            found["artifacts"].append([record.artifact.name, [e.path for e in files], [e.local_path for e in files]])
        elif record.HasField("exit"):
            found["exit"] = record.exit.exit_code
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
