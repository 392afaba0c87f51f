"""The workers of a run on a cluster, as text. Pure."""

from collections import Counter
from collections.abc import Sequence

from batchrun.records import WorkerFigures
from batchrun.report.texts import counted

_MOST_NAMED = 8
"""More workers are shown by the least and the most."""

_UNKNOWN = "–"


def workers_text(workers: Sequence[WorkerFigures]) -> str:
    """Return how many there are, what each has in flight, and who is not at work: `4 workers: 50 50 – 49 (1 silent)`.

    Args:
        workers: at least one.
    """
    states = Counter(each.state for each in workers if each.state != "open")
    known = [each.in_flight for each in workers if each.state == "open"]
    text = counted(len(workers), "worker")
    if known and len(workers) <= _MOST_NAMED:
        text += f": {' '.join(str(each.in_flight) if each.state == 'open' else _UNKNOWN for each in workers)}"
    elif known:
        text += f": {min(known)} to {max(known)} each"
    absent = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"{text} ({absent})" if absent else text


def lost_text(lost: int, put_back: int) -> str:
    """Return how many workers have died, and what became of their rows; empty where none has."""
    if not lost:
        return ""
    they, were = "it" if lost == 1 else "they", "was" if put_back == 1 else "were"
    rows = f"; {counted(put_back, 'row')} that {they} had {were} put back for others" if put_back else ""
    return f"{counted(lost, 'worker')} lost{rows}"
