"""What the columns of the results are to `datasets`, in the words of a dataset card."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import InputError
from batchrun.job.sections import Job
from batchrun.prompts.input.files import find_files
from batchrun.prompts.input.parquet_file import open_parquet
from batchrun.prompts.input.reader import open_file
from batchrun.results.columns import AFTER_INPUT, BEFORE_INPUT, CLASH_PREFIX
from batchrun.results.run_directory import input_paths

Told = Mapping[str, Any]
"""What `datasets` says of a column, as it writes it into Parquet."""

_TYPE_NAMES = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}
"""Arrow's name of a type → that of `datasets`, where they differ."""

_PLAIN = re.compile(
    r"bool|u?int\d+|float\d+|(large_)?(string|binary)|fixed_size_binary\[\d+\]|date\d+|"
    r"(time\d+|timestamp|duration)\[.+\]|decimal\d+\(.+\)"
)
"""Types that `datasets` knows by the same name."""

_MEDIA = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How `datasets` keeps an image, a sound or a film."""


def told_by_input(job: Job, directory: Path, checkpoint: Checkpoint) -> dict[str, Told]:
    """Return what the input says of its columns, where it is Parquet of `datasets`; nothing where it cannot be read."""
    said: dict[str, Told] = {}
    with suppress(InputError, OSError, pa.ArrowException, ValueError, LookupError, TypeError):
        files = find_files(input_paths(job, directory, checkpoint))
        first = next((file for file in files if file.format == "parquet"), None)
        if first is not None:
            with open_file(first) as raw:
                metadata = open_parquet(raw, first).schema_arrow.metadata or {}
            said = dict(orjson.loads(metadata[b"huggingface"])["info"]["features"])
    return said | ({} if job.prompt.images is None else {job.prompt.images: {"_type": "Image"}})


def features(schema: pa.Schema, told: Mapping[str, Told]) -> list[dict[str, Any]] | None:
    """Return what the columns of the results are; None where there is one that `datasets` has no name for.

    Args:
        schema: of the results.
        told: what is known of the input's columns, by their names in the input.
    """
    from_input = schema.names[len(BEFORE_INPUT) : schema.names.index(AFTER_INPUT[0].name)]
    found = []
    for field in schema:
        name = field.name if field.name in told else field.name.removeprefix(CLASH_PREFIX)
        said = told.get(name, {}) if field.name in from_input else {}
        found.append(_feature(field, said if isinstance(said, dict) else {}))
    return _all(found)


def _feature(field: pa.Field, told: Told) -> dict[str, Any] | None:
    kind = _kind(field.type, told)
    return None if kind is None else {"name": field.name} | kind


def _kind(kind: pa.DataType, told: Told) -> dict[str, Any] | None:
    """Return what a type is to `datasets`; None of one that it does not know by a name."""
    meant, types = told.get("_type"), pa.types
    if kind == _MEDIA and meant in ("Image", "Audio", "Video"):
        return {"dtype": meant.lower()}
    if types.is_integer(kind) and meant == "ClassLabel" and isinstance(names := told.get("names"), list):
        return {"dtype": {"class_label": {"names": {str(index): name for index, name in enumerate(names)}}}}
    if types.is_dictionary(kind):
        return _kind(kind.value_type, {})
    if types.is_struct(kind):
        inner = [_feature(each, _inside(told, each.name)) for each in map(kind.field, range(kind.num_fields))]
        return None if (known := _all(inner)) is None else {"struct": known}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        element = _kind(kind.value_type, _inside(told, "feature") or told)
        if element is None:
            return None
        length = {"length": kind.list_size} if types.is_fixed_size_list(kind) else {}
        return {"list": element.get("dtype") or element.get("struct") or element} | length
    name = _TYPE_NAMES.get(str(kind), str(kind))
    return {"dtype": name} if _PLAIN.fullmatch(name) else None


def _inside(told: Told, name: str) -> Told:
    inner = told.get(name)
    return inner if isinstance(inner, dict) else {}


def _all(found: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]] | None:
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None
