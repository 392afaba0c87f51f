import pytest

from batchrun.simulator.merge import UnsatisfiableError, merged


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        (True, {"minimum": 1}, {"minimum": 1}),
        ({"minimum": 1}, True, {"minimum": 1}),
        ({"minimum": 1, "maximum": 9}, {"minimum": 3, "maximum": 12}, {"minimum": 3, "maximum": 9}),
        ({"required": ["a", "b"]}, {"required": ["b", "c"]}, {"required": ["a", "b", "c"]}),
        ({"enum": [1, 2]}, {"enum": [2, 3]}, {"enum": [2]}),
        ({"type": "number"}, {"type": ["integer", "string"]}, {"type": ["integer"]}),
        ({"items": {"minimum": 1}}, {"items": True}, {"items": {"allOf": [{"minimum": 1}, True]}}),
        ({"allOf": [1]}, {"allOf": [2]}, {"allOf": [1, 2]}),
        (
            {"properties": {"a": True, "b": {}}},
            {"properties": {"b": False, "c": {}}},
            {"properties": {"a": True, "b": {"allOf": [{}, False]}, "c": {}}},
        ),
        ({"title": "old"}, {"title": "new"}, {"title": "new"}),
    ],
    ids=str,
)
def test_a_merged_schema_requires_what_both_require(one, other, result):
    """Bounds become the tighter ones, lists of values their intersection."""
    assert merged(one, other) == result


@pytest.mark.parametrize(("one", "other"), [(False, {}), ({}, False), ({"type": "string"}, {"type": "null"})], ids=str)
def test_a_contradiction_is_refused(one, other):
    """No value satisfies both schemas."""
    with pytest.raises(UnsatisfiableError):
        merged(one, other)
