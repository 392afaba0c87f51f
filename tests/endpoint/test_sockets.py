"""How many connections a process may have open."""

import resource

import pytest

from batchrun.endpoint.sockets import SPARE, room_for
from batchrun.errors import RunDirectoryError

NONE = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The soft and the hard limit of a system, in place of this system's."""
    limits = [256, 4096]

    def change(_: int, both: tuple[int, int]) -> None:
        limits[:] = both

    monkeypatch.setattr("resource.getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr("resource.setrlimit", change)
    return limits


@pytest.mark.parametrize(
    ("soft", "hard", "after", "room"),
    [
        (2000, 4096, 2000, 1000),  # enough
        (256, 4096, 1000 + SPARE, 1000),  # raised
        (256, NONE, 1000 + SPARE, 1000),
        (NONE, NONE, NONE, 1000),
        (256, 512, 512, 512 - SPARE),  # raised as far as allowed
        (256, 256, 256, 256 - SPARE),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_allowed(
    limits: list[int], soft: int, hard: int, after: int, room: int
) -> None:
    """Connections get what the run's own files leave."""
    limits[:] = soft, hard
    assert room_for(1000) == room
    assert limits == [after, hard]


def test_a_system_may_allow_less_than_its_hard_limit(limits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS does, which reports no hard limit."""

    def refuse(_: int, both: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr("resource.setrlimit", refuse)
    assert room_for(1000) == 256 - SPARE


def test_too_little_for_the_runs_own_files_is_refused_with_the_cure(limits: list[int]) -> None:
    """Exit code 3."""
    limits[:] = SPARE, SPARE
    with pytest.raises(RunDirectoryError, match=f"ulimit -n {10 + SPARE}") as caught:
        room_for(10)
    assert caught.value.exit_code == 3
