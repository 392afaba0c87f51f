"""What goes wrong with a system that a run is published to, as an error for people."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from batchrun.errors import BatchrunError, EndpointRefused, PublishError


@contextmanager
def translated(system: str, project: str) -> Iterator[None]:
    """Raise what an SDK raises as an error for people, with a cure.

    Args:
        system: what it is called in messages.
        project: TEAM/PROJECT.

    Raises:
        EndpointRefused: the key is not taken, or may not write there.
        PublishError: anything else.
    """
    try:
        yield
    except BatchrunError:
        raise
    except Exception as problem:  # what SDKs raise is of a dozen kinds, and costs the publishing only
        if status_of(problem) in (401, 403):
            cure = f"see WANDB_API_KEY and ~/.netrc, and whether {project} is yours"
            said = f"the key may not write there (HTTP {status_of(problem)}); {cure}"
            raise EndpointRefused(f"{system}: {project}: {said}") from problem
        if type(problem).__name__ == "AuthenticationError":  # W&B's: it has not even asked the server
            raise EndpointRefused(f"{system}: {project}: {reason_of(problem)}") from problem
        cure = "the run is as it was; publish it again when that is mended"
        raise PublishError(f"{system}: {project}: {reason_of(problem)}; {cure}") from problem


def reason_of(problem: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(problem).split())[:500].rstrip(". ") or type(problem).__name__


def status_of(problem: BaseException | None) -> int | None:
    """Return the HTTP status that an error, or one that it came of, carries; W&B's only say it."""
    while problem is not None:
        status = getattr(problem, "status_code", getattr(getattr(problem, "response", None), "status_code", None))
        if isinstance(status, int):
            return status
        if said := re.search(r"\breturned error ([45]\d\d)\b", str(problem)):
            return int(said[1])
        problem = problem.__cause__
    return None
