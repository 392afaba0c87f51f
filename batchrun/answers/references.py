"""References within one schema document. Nothing is ever fetched."""

from typing import Any
from urllib.parse import unquote


def dereferenced(schema: Any, root: Any, seen: frozenset[str] = frozenset()) -> tuple[Any, frozenset[str]]:
    """Follow `$ref` until a schema has none.

    Args:
        schema: where to start.
        root: the document that references point into.
        seen: references already followed on the way here.

    Returns:
        The schema, and `seen` with what was followed; None for a reference that leads back to where it came from, or
        that is no JSON pointer into the document.
    """
    while isinstance(schema, dict) and "$ref" in schema:
        reference = schema["$ref"]
        if reference in seen:
            return None, seen
        seen |= {reference}
        schema = _at(reference, root)
    return schema, seen


def _at(reference: str, root: Any) -> Any:
    """Return what a JSON pointer (RFC 6901) in a URI fragment points at; None when it points at nothing."""
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
