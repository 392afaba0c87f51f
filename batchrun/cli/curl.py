"""A request as a curl command that works when it is pasted into a shell. The key is in it only as a variable."""

import os
import re
import shlex
from collections.abc import Mapping
from urllib.parse import urlencode

import orjson

from batchrun.cli.table import printable_json
from batchrun.endpoint.key import find_project, is_variable_name, shown_variable_of
from batchrun.endpoint.renaming import renamed
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Job
from batchrun.records import PATHS, Request, RequestKind, named_endpoint

_MOST_ARGUMENT_BYTES = 100_000
"""Longest body that is an argument of curl. Linux takes 131,072 bytes (MAX_ARG_STRLEN in its binfmts.h); longer bodies
come through a pipe from `printf`, which is a part of the shell and has no such limit."""

_SOME_VARIABLE = "API_KEY"
"""Takes the place of a name that could be the key itself."""

_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def curl_command(endpoint: Endpoint, request: Request, environ: Mapping[str, str] = os.environ) -> str:
    r"""Return the command that sends a request to an endpoint, for sh, bash and zsh.

    Characters that a terminal would obey are written as `\u…`, which is the same JSON.

    Raises:
        JobError: the environment names a project that no header can hold.
    """
    lines = [shlex.join(["curl", "-sS", *(["-N"] if _is_streamed(request.body) else []), _url(endpoint, request.kind)])]
    lines.append("-H 'Content-Type: application/json'")
    lines += [shlex.join(["-H", f"{name}: {value}"]) for name, value in endpoint.plain_headers.items()]
    lines += [f'-H "{name}: ${_shown(variable)}"' for name, variable in endpoint.secret_headers.items()]
    if (variable := shown_variable(endpoint, environ)) is not None:
        lines.append(f'-H "Authorization: Bearer ${variable}"')
    if project := find_project(endpoint, environ):
        lines.append(shlex.join(["-H", f"OpenAI-Project: {project}"]))
    text = shlex.quote(printable_json(request.body))
    if len(text.encode()) <= _MOST_ARGUMENT_BYTES:
        return " \\\n  ".join([*lines, f"--data-binary {text}"])
    return f"printf %s {text} |\n" + " \\\n  ".join([*lines, "--data-binary @-"])


def as_asked(job: Job, request: Request, endpoint: str = "") -> tuple[Endpoint, Request]:
    """Return an endpoint that is asked for a model, and a request to it, with the model's name there.

    Args:
        job: with the endpoints.
        request: of the job.
        endpoint: name of the one that has answered the request; empty where that is not known.
    """
    serving = job.serving(request.model)
    named = named_endpoint(endpoint)
    name = named if named in serving else next(iter(serving), next(iter(job.endpoints)))
    its = serving.get(name, request.model)
    return job.endpoints[name], request._replace(body=renamed(request.body, request.model, its))


def shown_variable(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the variable that the command takes the key from; None where `run` sends none.

    A secret header that takes the place of the key has a line of its own.
    """
    if not endpoint.takes_key:
        return None
    name = shown_variable_of(endpoint, environ)
    is_set = bool(environ.get(name, "").strip())
    if not is_set and endpoint.is_loopback and not endpoint.api_key_env:
        return None
    is_name = is_variable_name(name) or (is_set and _IDENTIFIER.fullmatch(name))
    return name if is_name else _SOME_VARIABLE


def shown_variables(endpoint: Endpoint) -> list[str]:
    """Return the variables that the command takes secrets from."""
    headers = [_shown(variable) for variable in endpoint.secret_headers.values()]
    return [*headers, *filter(None, [shown_variable(endpoint)])]


def _shown(variable: str) -> str:
    return variable if is_variable_name(variable) else _SOME_VARIABLE


def _url(endpoint: Endpoint, kind: RequestKind) -> str:
    query = f"?{urlencode(endpoint.query)}" if endpoint.query else ""
    return f"{endpoint.base_url}{PATHS[kind]}{query}"


def _is_streamed(body: bytes) -> bool:
    return bool(orjson.loads(body).get("stream"))
