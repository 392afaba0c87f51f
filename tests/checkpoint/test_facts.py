import re
from pathlib import Path
from typing import Any

import pytest

import batchrun
from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact, Origin
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.checkpoint.tables import FILE_NAME
from batchrun.errors import DamagedError

ORIGIN: Origin = {"job": "j", "input": "i", "limit": None}

VALUES = [
    (facts.JOB, {"name": "a"}),
    (facts.ORIGIN, ORIGIN),
    (facts.SIMULATED, False),
    (facts.BEGUN, [1.0, None]),
    (facts.SPENT_USD, 0.1),
    (facts.SPENT_USD, 3),
    (facts.MISMATCH, 7),
    (facts.MISMATCH, None),
]


@pytest.mark.parametrize(("fact", "value"), VALUES)
def test_a_fact_is_read_as_it_was_written(fact: Fact[Any], value: Any) -> None:
    assert fact.decoded(fact.encoded(value)) == value


@pytest.mark.parametrize(
    ("fact", "text", "problem"),
    [
        (facts.JOB, "{", "the fact job is not JSON"),
        (facts.JOB, "[]", r"the fact job \(the job as it was run last\) is not of type dict"),
        (facts.SIMULATED, "1", "is not of type bool"),
        (facts.LIMIT, "true", "is not of type int"),
        (facts.LIMIT, "1.5", "is not of type int"),
        (facts.SPENT_USD, '"1"', "is not of type float"),
    ],
)
def test_a_fact_of_another_type_is_refused(fact: Fact[Any], text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        fact.decoded(text)


def test_each_fact_has_a_name_of_its_own_and_is_found_by_it() -> None:
    declared = [each for each in vars(facts).values() if isinstance(each, Fact)]
    assert list(facts.ALL) == declared
    assert [facts.named(fact.name) for fact in declared] == declared


def test_a_fact_of_a_newer_version_may_have_any_value() -> None:
    assert facts.named("from the future").decoded("[1]") == [1]


def test_a_fact_of_another_type_is_damage_of_the_file(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.connection.execute("INSERT INTO facts VALUES ('limit', '\"many\"')")
    with Checkpoint(tmp_path) as checkpoint, pytest.raises(DamagedError, match=f"{FILE_NAME}.*is not of type int"):
        checkpoint.fact(facts.LIMIT)


def test_no_fact_is_named_by_a_bare_string() -> None:
    """What a fact is called and means is in one file."""
    for path in Path(batchrun.__file__).parent.rglob("*.py"):
        if path.parent.name != "publish":  # the ledger of publications has names of its own
            assert not re.findall(r"""\.(?:set_)?fact\(f?["']""", path.read_text()), path
