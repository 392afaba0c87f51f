"""Translates the errors of the SDKs into errors of batchrun, with a cure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from batchrun.errors import BatchrunError, EndpointRefused, PublishError


@contextmanager
def translated(system: str, project: str) -> Iterator[None]:
    """Translate the errors of an SDK.

    Args:
        system: its name in messages.
        project: TEAM/PROJECT.

    Raises:
        EndpointRefused: the key is refused, or may not write there.
        PublishError: anything else.
    """
    try:
        yield
    except BatchrunError:
        raise
    except Exception as problem:  # SDKs raise a dozen types, and only the publishing fails
        if status_of(problem) in (401, 403):
            cure = f"check WANDB_API_KEY and ~/.netrc, and that you may write to {project}"
            refusal = f"the key may not write there (HTTP {status_of(problem)}); {cure}"
            raise EndpointRefused(f"{system}: {project}: {refusal}") from problem
        if type(problem).__name__ == "AuthenticationError":  # from W&B's SDK, which has not asked the server
            raise EndpointRefused(f"{system}: {project}: {reason_of(problem)}") from problem
        cure = "the run itself is not affected; fix the cause and publish it again"
        raise PublishError(f"{system}: {project}: {reason_of(problem)}; {cure}") from problem


def reason_of(problem: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(problem).split())[:500].rstrip(". ") or type(problem).__name__


def status_of(problem: BaseException | None) -> int | None:
    """Return the HTTP status of an error or of one of its causes. W&B's errors have it only in their text."""
    while problem is not None:
        status = getattr(problem, "status_code", getattr(getattr(problem, "response", None), "status_code", None))
        if isinstance(status, int):
            return status
        if found := re.search(r"\breturned error ([45]\d\d)\b", str(problem)):
            return int(found[1])
        problem = problem.__cause__
    return None
