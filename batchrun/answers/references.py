"""References within one schema document; nothing is ever fetched. Pure."""

from typing import Any
from urllib.parse import unquote


def dereferenced(schema: Any, root: Any, seen: frozenset[str] = frozenset()) -> tuple[Any, frozenset[str]]:
    """Follow `$ref` until a schema has none.

    Args:
        schema: where to start.
        root: the document that references point into.
        seen: references that were already followed.

    Returns:
        The schema, and `seen` with the references that were followed. The schema is None for a circular reference, and
        for one that is not a JSON pointer into the document.
    """
    while isinstance(schema, dict) and "$ref" in schema:
        reference = schema["$ref"]
        if reference in seen:
            return None, seen
        seen |= {reference}
        schema = _at(reference, root)
    return schema, seen


def _at(reference: str, root: Any) -> Any:
    """Return the value at a JSON pointer (RFC 6901) in a URI fragment; None when there is no value."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    place = root
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, dict):
            place = place.get(name)
        elif isinstance(place, list) and name.isascii() and name.isdigit() and int(name) < len(place):
            place = place[int(name)]
        else:
            return None
    return place
