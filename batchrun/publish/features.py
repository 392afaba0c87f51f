"""Describes the columns of the results as the `features` of a dataset card, for the library `datasets`."""

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

Feature = Mapping[str, Any]
"""The description of a column that `datasets` stores in Parquet files."""

_TYPE_NAMES = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}
"""Arrow's name of a type → the name in `datasets`, where they differ."""

_PLAIN = re.compile(
    r"bool|u?int\d+|float\d+|(large_)?(string|binary)|fixed_size_binary\[\d+\]|date\d+|"
    r"(time\d+|timestamp|duration)\[.+\]|decimal\d+\(.+\)"
)
"""Types with the same name in Arrow and `datasets`."""

_MEDIA = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How `datasets` stores an image, a sound or a video."""


def input_features(job: Job, directory: Path, checkpoint: Checkpoint) -> dict[str, Feature]:
    """Return the features in the input's metadata, if it is Parquet of `datasets`; none where it cannot be read."""
    known: dict[str, Feature] = {}
    with suppress(InputError, OSError, pa.ArrowException, ValueError, LookupError, TypeError):
        files = find_files(input_paths(job, directory, checkpoint))
        first = next((file for file in files if file.format == "parquet"), None)
        if first is not None:
            with open_file(first) as raw:
                metadata = open_parquet(raw, first).schema_arrow.metadata or {}
            known = dict(orjson.loads(metadata[b"huggingface"])["info"]["features"])
    return known | ({} if job.prompt.images is None else {job.prompt.images: {"_type": "Image"}})


def features(schema: pa.Schema, known: Mapping[str, Feature]) -> list[dict[str, Any]] | None:
    """Return the features of the results; None where `datasets` has no name for the type of a column.

    Args:
        schema: of the results.
        known: features of the input, by the names of its columns.
    """
    from_input = schema.names[len(BEFORE_INPUT) : schema.names.index(AFTER_INPUT[0].name)]
    found = []
    for field in schema:
        name = field.name if field.name in known else field.name.removeprefix(CLASH_PREFIX)
        feature = known.get(name, {}) if field.name in from_input else {}
        found.append(_feature(field, feature if isinstance(feature, dict) else {}))
    return _all(found)


def _feature(field: pa.Field, stored: Feature) -> dict[str, Any] | None:
    kind = _kind(field.type, stored)
    return None if kind is None else {"name": field.name} | kind


def _kind(kind: pa.DataType, stored: Feature) -> dict[str, Any] | None:
    """Return the feature of a type; None where `datasets` has no name for it."""
    meant, types = stored.get("_type"), pa.types
    if kind == _MEDIA and meant in ("Image", "Audio", "Video"):
        return {"dtype": meant.lower()}
    if types.is_integer(kind) and meant == "ClassLabel" and isinstance(names := stored.get("names"), list):
        return {"dtype": {"class_label": {"names": {str(index): name for index, name in enumerate(names)}}}}
    if types.is_dictionary(kind):
        return _kind(kind.value_type, {})
    if types.is_struct(kind):
        inner = [_feature(each, _inside(stored, each.name)) for each in map(kind.field, range(kind.num_fields))]
        return None if (fields := _all(inner)) is None else {"struct": fields}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        element = _kind(kind.value_type, _inside(stored, "feature") or stored)
        if element is None:
            return None
        length = {"length": kind.list_size} if types.is_fixed_size_list(kind) else {}
        return {"list": element.get("dtype") or element.get("struct") or element} | length
    name = _TYPE_NAMES.get(str(kind), str(kind))
    return {"dtype": name} if _PLAIN.fullmatch(name) else None


def _inside(stored: Feature, name: str) -> Feature:
    inner = stored.get(name)
    return inner if isinstance(inner, dict) else {}


def _all(found: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]] | None:
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None
