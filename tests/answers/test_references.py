"""References within one schema document."""

import pytest

from batchrun.answers.references import dereferenced

ROOT = {
    "$defs": {"a/b": {"type": "string"}, "c d": {"$ref": "#/$defs/a~1b"}, "loop": {"$ref": "#/$defs/loop"}},
    "list": [True, {"type": "null"}],
}


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#/$defs/a~1b", {"type": "string"}),
        ("#/$defs/c%20d", {"type": "string"}),
        ("#/list/1", {"type": "null"}),
        ("#", ROOT),
        ("#/list/2", None),
        ("#/list/x", None),
        ("#/$defs/none", None),
        ("#/list/1/type/deeper", None),
        ("#/$defs/loop", None),
        ("#anchor", None),
        ("other.json#/a", None),
    ],
)
def test_a_reference_is_followed_within_the_document_only(reference: str, target: object) -> None:
    """Chains are followed to their end. Cycles, anchors and references to other documents are not followed."""
    assert dereferenced({"$ref": reference}, ROOT)[0] == target


def test_the_references_that_were_followed_are_returned() -> None:
    """The caller recognises a recursive schema by them."""
    assert dereferenced({"$ref": "#/$defs/c%20d"}, ROOT)[1] == {"#/$defs/c%20d", "#/$defs/a~1b"}
    assert dereferenced({"$ref": "#"}, ROOT, frozenset({"#"})) == (None, {"#"})
    assert dereferenced({"type": "null"}, ROOT) == ({"type": "null"}, frozenset())
