"""Workers, nodes and drivers are killed at random moments, and the books of the endpoint are compared."""

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest
from on_ray.books import Books, Bought, keeping
from on_ray.nodes import Node, Nodes
from on_ray.runs import GRACE_S, check_results, reported, started

KILLS = int(os.environ.get("BATCHRUN_RAY_KILLS", "50"))

DRIVERS = int(os.environ.get("BATCHRUN_RAY_DRIVERS", "5"))

ROWS, SLOTS = 1_500, 40

_LATEST_S = 1.0
"""How long before the death an answer that is lost may have been sent, on a machine too busy to run the worker."""

_ARRIVES_S = 0.2
"""How long after the death of its sender a request may be received: it was on its way, and the endpoint is busy too. No
worker starts that fast in the place of a dead one."""

_LATE = 0.01
"""Share of the lost answers that may be older than `GRACE_S`.

Until the driver has an answer, a worker collects for 70 ms, or until the word and the orders that are under way have
arrived, if that takes longer; then the next word takes its way. That is 0.1 s where a message takes 20 ms, and longer
where a process waits for a processor: with 30 ms, one answer in five is older (simulated).
"""


@dataclass
class Kill:
    """The death of a worker, or of a node with its worker."""

    peer: str
    began_s: float
    done_s: float
    kind: str
    before_s: float
    """When the worker there before this one was dead; what that one had in flight may be answered after this."""

    def had(self, bought: Bought, within_s: float) -> bool:
        """Return whether a request was in flight there, or was answered that shortly before."""
        begins_s, ends_s = self.before_s + _ARRIVES_S, self.done_s + _ARRIVES_S
        was_there = bought.peer == self.peer and begins_s < bought.received_s <= ends_s
        return was_there and bought.answered_s >= self.began_s - within_s


def killed(node: Node, kind: str, earlier: Sequence[Kill]) -> Kill:
    """Kill a node, or its worker, after earlier kills."""
    worker, began_s = node.worker, time.monotonic()
    if kind == "node":
        node.kill()
    elif worker is not None:
        os.kill(worker, signal.SIGKILL)
    peer = node.machine.data_address
    before_s = max((kill.done_s for kill in earlier if kill.peer == peer), default=-inf)
    return Kill(peer, began_s, time.monotonic(), kind, before_s)


def test_what_dead_workers_and_nodes_had_is_all_that_is_bought_again(tmp_path: Path, nodes: Nodes) -> None:
    """By the books, request for request; no row is lost."""
    chance = random.Random(int(os.environ.get("BATCHRUN_RAY_SEED", "7")))
    kills: list[Kill] = []
    losses = 0
    with keeping(Books(SLOTS, (0.3, 1.5)), nodes.data_address) as books:
        for number in range(100):
            folder = tmp_path / f"run{number}"
            run = started(folder, nodes, books, ROWS, "-c", SLOTS)
            run.wait_until(lambda: books.in_flight > 0)
            while run.process.poll() is None:
                time.sleep(chance.uniform(0.5, 4))
                node = chance.choice(nodes.nodes)
                if node.worker is not None and len(kills) < KILLS:
                    kills.append(killed(node, "node" if chance.random() < 0.2 else "worker", kills))
                for each in nodes.nodes:
                    each.look()
            assert run.wait() == 0, run.text
            check_results(folder, ROWS)
            noted = json.loads((folder / "out" / "run.json").read_text())["engine"]
            losses += noted["workers_lost"]
            if len(kills) >= KILLS:
                break
        again = books.again
        allowed = [sum(kill.had(each, GRACE_S) for each in books.requests) for kill in kills]
    lost = [[each for each in again if kill.had(each, _LATEST_S)] for kill in kills]
    ages_s = [kill.began_s - each.answered_s for kill, its in zip(kills, lost, strict=True) for each in its]
    late = sum(age_s > GRACE_S for age_s in ages_s)
    by_kind = {kind: sum(kill.kind == kind for kill in kills) for kind in ("worker", "node")}
    print(
        f"{len(kills)} kills {by_kind}, {losses} reported, {number + 1} runs of {ROWS} rows: {len(again)} bought again "
        f"of {sum(allowed)} allowed, the oldest {1_000 * max(ages_s):.0f} ms before, {late} more than 100 ms; "
        f"peak {books.peak}"
    )
    assert all(any(each in its for its in lost) for each in again)
    assert late <= max(1, _LATE * len(ages_s))
    assert all(len(its) <= most for its, most in zip(lost, allowed, strict=True))
    assert books.peak <= SLOTS


@pytest.mark.parametrize("resumed_on", ["cluster", "one process"])
def test_what_a_dead_driver_had_is_all_that_is_bought_again(tmp_path: Path, nodes: Nodes, resumed_on: str) -> None:
    """And the run's own note of it is not below the truth. Each time it is resumed on the cluster or in one process."""
    chance = random.Random(11)
    done = []
    with keeping(Books(SLOTS, (0.3, 1.5)), nodes.data_address) as books:
        for number in range(DRIVERS):
            folder = tmp_path / f"run{number}"
            first = len(books.requests)
            run = started(folder, nodes, books, ROWS, "-c", SLOTS)
            run.wait_until(lambda: books.in_flight > SLOTS // 2)
            time.sleep(chance.uniform(0.5, 6))
            at_s = time.monotonic()
            run.signal(signal.SIGKILL)
            run.wait()
            time.sleep(2)  # what its workers sent until they were ended is in the books
            had = [each for each in books.requests[first:] if each.answered_s >= at_s - GRACE_S]
            again = started(folder, nodes if resumed_on == "cluster" else None, books, ROWS, "-c", SLOTS)
            assert again.wait() == 0, again.text
            check_results(folder, ROWS)
            bought = [each for each in books.again if f"of {folder.name}." in each.prompt]
            done.append((len(bought), len(had), reported(again.text)))
            assert all(each in had for each in bought)
            assert reported(again.text) >= len(bought)
    print(f"resumed on {resumed_on}: bought again, had in flight or new, reported: {done}")
