"""A plain pyarrow conversion, as a program: JSON Lines of input rows and raw answers to Parquet.

It reads with Arrow's JSON reader and writes each record batch with the columns of the results that the data fills: the
shortest program that turns answers in a file into Parquet.
`python -m benchmarks.conversion FROM.jsonl TO.parquet`
"""

import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


def convert(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the columns of the results for rows of input and answer."""
    read, answer = batch["input"], batch["answer"]
    choice = pc.list_element(pc.struct_field(answer, "choices"), 0)
    columns = {
        "row": batch["row"],
        "id": pc.struct_field(read, "id"),
        "prompt": pc.struct_field(read, "prompt"),
        "model": pc.struct_field(answer, "model"),
        "response": pc.struct_field(choice, ["message", "content"]),
        "finish_reason": pc.struct_field(choice, "finish_reason"),
        **{name: pc.struct_field(answer, ["usage", name]) for name in _USAGE},
        "response_id": pc.struct_field(answer, "id"),
    }
    return pa.record_batch(columns)


def main() -> None:
    """Convert one file."""
    source, target = sys.argv[1:]
    batches = (convert(batch) for batch in pyarrow.json.open_json(source))
    first = next(batches)
    with pyarrow.parquet.ParquetWriter(target, first.schema, compression="zstd") as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)


if __name__ == "__main__":
    main()
