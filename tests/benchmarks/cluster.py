"""What a Ray cluster costs the driver, and what it gains: measured with real workers on this machine.

The cluster is started here, so that neither Ray's own processes nor the workers count as the driver's. Where a machine
has fewer cores than workers, a quota for each worker shows whether the driver is in their way.
`python tests/benchmarks/cluster.py [PART …]`
"""

import base64
import json
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path[0] = str(Path(__file__).parents[1])

import pyarrow.compute as pc
import pyarrow.parquet as pq
from benchmarks.endpoint import Endpoint, fast_endpoint
from benchmarks.gateway import gateway
from benchmarks.inputs import write_rows
from benchmarks.process import Used, batchrun, use
from benchmarks.quotas import quotas
from benchmarks.ray_nodes import RayNode, ray_node
from benchmarks.rows import run_command

ANSWER_BYTES = 1_024

FEW, MANY = 10_000, 60_000

ROUNDS = 3

LEVELS = (1, 2, 4, 8)
"""Numbers of workers whose rates are compared."""

CONNECTIONS, TURNS = 200, 14
"""Of each worker; requests of each connection."""

STREAMS, TOKENS, TOKENS_PER_S = 1_000, 250, 50

HIDDEN = ((200, 30_000), (8, 1_500))
"""Hidden limits, and how many rows are sent."""

IMAGES, IMAGE_BYTES = 5_000, 100_000


class Spent(NamedTuple):
    """CPU of a row, in microseconds."""

    driver: float
    """Of the process that was started as `batchrun run`, all its threads, to the finished Parquet."""
    export: float
    """Of that, what `batchrun export` takes."""
    ray: float = 0.0
    """Of Ray's own processes."""

    @property
    def sending(self) -> float:
        """Without the results file."""
        return self.driver - self.export


def run_there(
    node: RayNode,
    workers: int,
    prompts: Path,
    url: str,
    in_flight: int,
    *more: str,
    share: float | None = None,
) -> Used:
    """Run a file on the cluster.

    Args:
        node: the cluster.
        workers: how many.
        prompts: the file.
        url: of the endpoint.
        in_flight: most requests at once.
        more: flags.
        share: of a core that each worker gets once it has started; None for all that is there.
    """
    command = run_command(prompts, prompts.parent / "out", url, *node.flags(workers), *more, in_flight=in_flight)
    with quotas(share or 1.0) as groups:
        if share is not None:

            def limit() -> None:
                for pid in node.workers(workers):
                    groups.set_for(pid)

            threading.Thread(target=limit, daemon=True).start()
        return use([*command, "--restart", "--yes"], prompts.parent)


def rate(directory: Path, first: float = 0.4, last: float = 0.85) -> float:
    """Return the answers a second of a run, between two shares of its answers: after the ramp, before the end."""
    finished = pq.read_table(directory / "results.parquet", columns=["finished_at"])["finished_at"]
    at_s = sorted(pc.cast(finished, "int64").to_pylist())
    begin, end = int(len(at_s) * first), int(len(at_s) * last)
    unit = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[finished.type.unit]
    return (end - begin) / ((at_s[end] - at_s[begin]) / unit)


def driver() -> None:
    """Print the CPU of a row, of one process and of the driver of four workers: the start is not in it."""
    workers, in_flight = 4, 256
    with tempfile.TemporaryDirectory(prefix="batchrun-benchmark-") as folder, ray_node(workers) as node:
        scratch = Path(folder)
        prompts = scratch / "prompts.jsonl"
        write_rows(prompts, MANY)
        with fast_endpoint(scratch, answer_bytes=ANSWER_BYTES) as url:

            def spent(*more: str) -> Spent:
                taken = []
                for rows in (FEW, MANY):
                    out = scratch / f"run-{rows}-{len(more)}"
                    flags = ("--limit", str(rows), "--restart", "--yes", *more)
                    before_s = node.ray_s()
                    used = use(run_command(prompts, out, url, *flags, in_flight=in_flight), scratch)
                    ray_s = node.ray_s() - before_s
                    taken.append((used.cpu_s, use(batchrun("export", str(out)), scratch).cpu_s, ray_s))
                return Spent(*(1e6 * (many - few) / (MANY - FEW) for few, many in zip(*taken, strict=True)))

            print(
                f"{'load':>5}  {'one process':>22} {'driver':>22} {'Ray':>6}  {'ratio of all':>12} {'of sending':>10}"
            )
            pairs = []
            for _ in range(ROUNDS):
                one, many = spent(), spent(*node.flags(workers))
                pairs.append((many.driver / one.driver, many.sending / one.sending))
                figures = [f"{each.driver:5.0f} µs, {each.sending:5.0f} sent" for each in (one, many)]
                ratios = "{:12.2f} {:10.2f}".format(*pairs[-1])
                load = os.getloadavg()[0]
                print(f"{load:5.1f}  {figures[0]:>22} {figures[1]:>22} {many.ray:6.0f}  {ratios}", flush=True)
    of_all, of_sending = zip(*pairs, strict=True)
    print(f"driver over one process: {_best(of_all)} of all, {_best(of_sending)} of sending (target of sending 0.35)")


def _best(values: Sequence[float]) -> str:
    return f"{min(values):.2f} (median {statistics.median(values):.2f})"


def linear() -> None:
    """Print the rate of 1, 2, 4 and 8 workers at a server that answers after a second."""
    print(f"{'workers':>7} {'answers/s':>9} {'of linear':>9} {'driver':>12} {'load':>5}   latency 1 s")
    with tempfile.TemporaryDirectory(prefix="batchrun-benchmark-") as folder, ray_node(max(LEVELS)) as node:
        prompts = Path(folder) / "prompts.jsonl"
        for workers in LEVELS:
            in_flight = CONNECTIONS * workers
            write_rows(prompts, in_flight * TURNS)
            with Endpoint(prompts.parent, latency_s=1.0, full=in_flight) as endpoint:
                used = run_there(node, workers, prompts, endpoint.base_url, in_flight)
                endpoint.first_s()
                turns = endpoint.counts()["turns"][1:-2]
            _print_level(workers, statistics.median(turns), CONNECTIONS * workers, used)


def slow() -> None:
    """Print the rate of 1, 2, 4 and 8 workers that have a tenth of a core each."""
    print(f"{'workers':>7} {'answers/s':>9} {'of linear':>9} {'driver':>12} {'load':>5}   a tenth of a core each")
    alone = 0.0
    with tempfile.TemporaryDirectory(prefix="batchrun-benchmark-") as folder, ray_node(max(LEVELS)) as node:
        prompts = Path(folder) / "prompts.jsonl"
        for workers in LEVELS:
            write_rows(prompts, 6_000 * workers)
            with fast_endpoint(prompts.parent, answer_bytes=ANSWER_BYTES) as url:
                used = run_there(node, workers, prompts, url, 16 * workers, share=0.1)
            found = rate(prompts.parent / "out")
            alone = alone or found
            _print_level(workers, found, alone * workers, used)


def _print_level(workers: int, found: float, wanted: float, used: Used) -> None:
    load = os.getloadavg()[0]
    share = f"{used.cpu_s / used.wall_s:.2f} cores"
    print(f"{workers:7} {found:9.0f} {found / wanted:9.2f} {share:>12} {load:5.1f}", flush=True)


def streams() -> None:
    """Print what many streams over four workers with quotas cost the driver."""
    with tempfile.TemporaryDirectory(prefix="batchrun-benchmark-") as folder, ray_node(4) as node:
        prompts = Path(folder) / "prompts.jsonl"
        write_rows(prompts, STREAMS * 3)
        with Endpoint(prompts.parent, tokens=TOKENS, per_s=TOKENS_PER_S) as endpoint:
            used = run_there(node, 4, prompts, endpoint.base_url, STREAMS, "--stream", share=0.35)
            endpoint.first_s()
            most = endpoint.counts()["most"]
        _print_share(f"{most} streams, {TOKENS * rate(prompts.parent / 'out'):,.0f} tokens/s", used)


def images() -> None:
    """Print what images cost the driver, which reads them and makes the requests."""
    with tempfile.TemporaryDirectory(prefix="batchrun-benchmark-") as folder, ray_node(4) as node:
        scratch = Path(folder)
        png = base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        )
        prompts = scratch / "prompts.jsonl"
        with prompts.open("w", encoding="ascii") as file:
            for number in range(IMAGES):
                (scratch / f"{number}.png").write_bytes(png + os.urandom(IMAGE_BYTES - len(png)))
                file.write(json.dumps({"prompt": "What is it?", "image": f"{number}.png"}) + "\n")
        with Endpoint(scratch, latency_s=1.0) as endpoint:
            used = run_there(node, 4, prompts, endpoint.base_url, 100, "--images", "image")
        _print_share(f"{IMAGES} images of {IMAGE_BYTES // 1000} kB, {rate(scratch / 'out'):.0f} a second", used)


def hidden() -> None:
    """Print how the slots of a gateway are used that limits connections, by one process and by four workers."""
    print(
        f"{'slots':>5} {'workers':>7} {'used':>6} {'after 2 s':>9} {'rejected':>8} {'load':>5}   by the books of nginx"
    )
    for slots, rows in HIDDEN:
        with tempfile.TemporaryDirectory(prefix="batchrun-benchmark-") as folder, ray_node(4) as node:
            prompts = Path(folder) / "prompts.jsonl"
            write_rows(prompts, rows)
            for workers in (0, 4):
                with gateway(prompts.parent / f"gateway-{workers}", slots, 0.3) as server:
                    if workers:
                        run_there(node, workers, prompts, server.base_url, 1_000)
                    else:
                        use(
                            run_command(prompts, prompts.parent / "one", server.base_url, in_flight=1_000),
                            prompts.parent,
                        )
                book = server.book()
                assert book.answered == rows
                rejected = book.rejected / (book.rejected + book.answered)
                figures = f"{book.used:6.3f} {book.used_once_full:9.3f} {rejected:8.2%} {os.getloadavg()[0]:5.1f}"
                print(f"{slots:5} {workers or 'none':>7} {figures}", flush=True)


def _print_share(what: str, used: Used) -> None:
    load = os.getloadavg()[0]
    share = used.cpu_s / used.wall_s
    print(f"{what}: the driver {share:.2f} of a core (target 0.3), {used.wall_s:.0f} s, load {load:.1f}", flush=True)


PARTS = {"driver": driver, "linear": linear, "slow": slow, "hidden": hidden, "streams": streams, "images": images}


def main() -> None:
    """Measure the named parts, or all."""
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
