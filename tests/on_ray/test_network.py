"""The control network of a node is cut, while it still reaches the endpoint: nothing is bought twice."""

import time
from pathlib import Path

from on_ray.books import Books, keeping
from on_ray.networks import CONTROL
from on_ray.nodes import Nodes
from on_ray.runs import check_results, started

SLOTS, ROWS, CUT_S = 40, 2_400, 8.0


def test_a_cut_of_eight_seconds_costs_nothing(tmp_path: Path, nodes: Nodes) -> None:
    """The node that is cut off sends nothing new after two seconds; its rows stay its own."""
    folder = tmp_path / "run"
    with keeping(Books(SLOTS, (0.3, 1.0)), nodes.data_address) as books:
        run = started(folder, nodes, books, ROWS, "-c", SLOTS)
        peers = [node.machine.data_address for node in nodes.nodes]
        run.wait_until(lambda: {each.peer for each in books.requests} >= {*peers} and books.answered > 300)
        machine = nodes.nodes[0].machine
        machine.cut(CONTROL)
        cut_s = time.monotonic()
        time.sleep(CUT_S)
        machine.join(nodes.networks, CONTROL)
        healed_s = time.monotonic()
        assert run.wait() == 0, run.text
        check_results(folder, ROWS)
        last_s = max(each.received_s for each in books.requests if each.peer == peers[0] and each.received_s < healed_s)
        others = sum(each.peer != peers[0] and cut_s < each.received_s < healed_s for each in books.requests)
        after = sum(each.peer == peers[0] and each.received_s > healed_s for each in books.requests)
        print(
            f"cut for {healed_s - cut_s:.1f} s: {len(books.again)} bought again; "
            f"the node sent for {last_s - cut_s:.1f} s more, and {after} requests afterwards; "
            f"the others sent {others} meanwhile; peak {books.peak}"
        )
        print(run.text)
        assert books.again == []
        assert last_s - cut_s < 3.5
        assert after > 0
        assert "has died" not in run.text
        assert books.peak <= SLOTS
