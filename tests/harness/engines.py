"""The engine of the end-to-end tests: their own process, or, with BATCHRUN_ENGINE=ray, the workers of a cluster."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

IS_RAY = os.environ.get("BATCHRUN_ENGINE") == "ray"

WORKERS = 2

_NICENESS = "RAY_worker_niceness"
"""Workers are at 15 otherwise: whatever else the machine does would come first."""

LOCAL_ONLY = "local_only"
"""Mark of a test that makes no sense on a cluster; its argument says why."""

_AROUND = "what it tests is done before rows are sent, or when all are answered, by this process"

_ELSEWHERE = "tests/on_ray has it for clusters"

_MODULES = {
    "test_crash": _ELSEWHERE,
    "test_power": _ELSEWHERE,
    **dict.fromkeys(
        (
            *("test_check", "test_commands", "test_compare", "test_elsewhere", "test_encoding", "test_evaluate"),
            *("test_excel", "test_first_run", "test_formats", "test_mistakes", "test_models", "test_notebook"),
            *("test_publish", "test_report", "test_report_page", "test_show", "test_slow_files"),
            *("test_standard_streams", "test_then", "test_typing", "test_useless_scorers"),
        ),
        _AROUND,
    ),
}
"""Modules of which that holds for all tests."""

_FOLDERS = {"batches": "batches are not sent by workers"}
"""The same for folders."""


def with_engine(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command; those of a run with the engine, unless they name one."""
    if not IS_RAY or arguments[:1] != ["run"] or "--engine" in arguments:
        return [*arguments]
    return [*arguments, "--engine", "ray", "--workers", str(WORKERS)]


def skip_local_only(items: Sequence[pytest.Item]) -> None:
    """Skip what makes no sense on a cluster, if the tests run on one."""
    for item in items if IS_RAY else ():
        mark = item.get_closest_marker(LOCAL_ONLY)
        of_all = _MODULES.get(item.path.stem, _FOLDERS.get(item.path.parent.name))
        reason = of_all if mark is None else mark.args[0]
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """Have the engine there: one cluster on this machine for all tests, which runs in this process use as it is."""
    if not IS_RAY:
        yield
        return
    os.environ |= {_NICENESS: "0"}
    # Ray would write a token into the home folder and read it from there, which is another one in each test.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with ThreadPoolExecutor(1) as thread:  # Ray's processes end with the thread that has started them
        os.environ["RAY_ADDRESS"] = thread.submit(_started).result()
        try:
            yield
        finally:
            thread.submit(_ended).result()


def _started() -> str:
    import ray

    settings = {"log_to_driver": False, "include_dashboard": False, "logging_level": "ERROR"}
    context = ray.init(address="local", num_cpus=2 * WORKERS, object_store_memory=100_000_000, **settings)
    return str(context.address_info["gcs_address"])


def _ended() -> None:
    import ray

    ray.shutdown()
