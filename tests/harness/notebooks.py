"""Executes notebooks in a real kernel, as Jupyter does, and interrupts their cells."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PID = "import os, pathlib; _ = pathlib.Path('kernel.pid').write_text(str(os.getpid()))"
"""The first cell of a notebook that is interrupted."""

_LONGEST_S = 120.0
"""Longest time for a cell, on a busy machine too."""


def execute(notebook: Any, folder: Path) -> Any:
    """Execute a notebook in a folder; cells that raise have an error as their output. Returns the notebook."""
    from nbclient import NotebookClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own
        resources = {"metadata": {"path": str(folder)}}
        return NotebookClient(notebook, timeout=_LONGEST_S, allow_errors=True, resources=resources).execute()


def interrupted(cells: Sequence[str], folder: Path, when: Sequence[Callable[[], bool]]) -> list[Any]:
    """Execute cells, and interrupt the kernel each time when the next of these conditions is true."""
    import nbformat.v4 as v4

    end = threading.Event()

    def interrupt() -> None:
        for condition in when:
            while not condition():
                if end.wait(0.02):
                    return
            os.kill(int((folder / "kernel.pid").read_text()), signal.SIGINT)
            time.sleep(1.0)  # two signals at once would be one

    thread = threading.Thread(target=interrupt)
    thread.start()
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in [PID, *cells]])
    try:
        done = execute(notebook, folder)
    finally:
        end.set()
        thread.join()
    rest = done.cells[1:]
    rest[0].metadata["widgets"] = done.metadata.get("widgets", {})
    return rest


def outputs(cell: Any) -> str:
    """Return what a cell shows, as text: prints, errors, the plain text of values."""
    shown = []
    for each in cell.outputs:
        if each.output_type == "error":
            shown += [f"{each.ename}: {each.evalue}", *each.traceback]
        else:
            shown.append(each.get("text") or each.get("data", {}).get("text/plain", ""))
    return "\n".join(shown)
