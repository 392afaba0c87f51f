"""What the runs on one machine share about a limit."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchrun.engine.shared_limit import LimitMemory, Share, fair_cap

ENDPOINT = ("https://host/v1", "team/project", ("model",))


@pytest.mark.parametrize(
    ("total", "others", "cap"),
    [
        pytest.param(50, [], None, id="alone"),
        pytest.param(50, [Share(10, wants_more=False)], None, id="next to a run that has enough"),
        pytest.param(50, [Share(1, wants_more=True)], 28, id="next to a run that wants more: half, and a little"),
        pytest.param(60, [Share(1, wants_more=True)] * 2, 23, id="next to two runs: a third"),
        pytest.param(
            50, [Share(1, wants_more=True), Share(10, wants_more=False)], 23, id="the rest of a run that has enough"
        ),
        pytest.param(0, [Share(0, wants_more=True)], 1, id="at least one"),
    ],
)
def test_a_run_leaves_others_their_share(total: float, others: list[Share], cap: int | None) -> None:
    """No run starves, and what one run does not want, the others get."""
    assert fair_cap(total, others) == cap


def test_the_next_run_knows_what_was_learned(tmp_path: Path) -> None:
    """The next run starts near the limit of this one."""
    first = LimitMemory(*ENDPOINT, folder=tmp_path)
    assert first.learned() is None
    first.learn(42)
    first.close()
    assert LimitMemory(*ENDPOINT, folder=tmp_path).learned() == 42


@pytest.mark.parametrize(
    "other",
    [
        ("https://other/v1", "team/project", ("model",)),
        ("https://host/v1", "team/other", ("model",)),
        ("https://host/v1", "team/project", ("other",)),
    ],
)
def test_endpoints_projects_and_models_are_remembered_separately(
    tmp_path: Path, other: tuple[str, str, tuple[str, ...]]
) -> None:
    """The limit of one says nothing about the others."""
    LimitMemory(*ENDPOINT, folder=tmp_path).learn(42)
    assert LimitMemory(*other, folder=tmp_path).learned() is None


def test_runs_of_one_project_see_each_other_until_they_end(tmp_path: Path) -> None:
    """The limit belongs to the project, whatever the model."""
    large = LimitMemory(*ENDPOINT, folder=tmp_path)
    small = LimitMemory("https://host/v1", "team/project", ("another",), folder=tmp_path)
    assert large.share(Share(50, wants_more=True)) is None
    assert small.share(Share(0, wants_more=True)) == 28
    assert large.share(Share(50, wants_more=True)) == 28
    small.close()
    assert large.share(Share(28, wants_more=True)) is None


def test_slots_that_change_hands_do_not_lower_the_total(tmp_path: Path) -> None:
    """While one run drains and the other is not full yet, both still know what the endpoint holds."""
    large = LimitMemory(*ENDPOINT, folder=tmp_path)
    small = LimitMemory(*ENDPOINT, folder=tmp_path)
    small.share(Share(0, wants_more=True))
    large.share(Share(50, wants_more=True))
    cap = large.share(Share(28, wants_more=True))
    assert cap is not None
    assert cap >= 27


def test_a_folder_that_cannot_be_used_costs_only_the_memory(tmp_path: Path) -> None:
    """A run without it works too."""
    (tmp_path / "file").write_text("")
    memory = LimitMemory(*ENDPOINT, folder=tmp_path / "file")
    memory.learn(5)
    assert memory.learned() is None
    assert memory.share(Share(5, wants_more=True)) is None
    memory.close()


def test_a_damaged_memory_does_not_stop_a_run(tmp_path: Path) -> None:
    """The memory is only advice."""
    (tmp_path / "limits.sqlite").write_bytes(b"no database" * 1_000)
    memory = LimitMemory(*ENDPOINT, folder=tmp_path)
    assert memory.learned() is None
    memory.close()


def test_a_run_that_was_killed_shares_nothing(tmp_path: Path) -> None:
    """Its slots are free at once, and the same command starts again at the limit that it held."""
    program = (
        "import os, signal, sys; from pathlib import Path; "
        "from batchrun.engine.shared_limit import LimitMemory, Share; "
        f"memory = LimitMemory(*{ENDPOINT!r}, folder=Path(sys.argv[1])); memory.share(Share(50, wants_more=True)); "
        "print(len(memory.others()), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, capture_output=True, text=True)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "0\n")
    memory = LimitMemory(*ENDPOINT, folder=tmp_path)
    assert memory.others() == []
    assert memory.share(Share(0, wants_more=True)) is None
    memory.close()
