"""Messages for people who called from Python: their advice names arguments and calls instead of flags and commands."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from batchrun.errors import BatchrunError

_NAMES = {
    "yes": "agree",
    "out": "out",
    "model": "model",
    "template": "prompt",
    "max-cost": "max_cost_usd",
    "o": "out",
    "m": "model",
    "t": "prompt",
    "s": "system",
    "c": "max_concurrency",
}
"""Flag → argument, where another name is meant by it."""

_SWITCHES = ("yes", "restart", "retry-failed", "strict", "dedupe", "simulate", "stream", "allow-http")
"""Flags without a value."""

_FLAG = re.compile(
    r"(?<![\w-])(?:--(?P<long>[a-z][a-z-]+[a-z])|-(?P<short>[omtsc]))(?:[ =](?P<value>'[^']*'|[A-Z]{2,}\b(?!/)|\d\S*|"
    r"https?://\S+|\S*/\S*[^\s;,.)`]|[\w.-]*\d))?(?![\w-])"
)

_COMMAND = re.compile(r"`?batchrun (?P<name>[a-z]+)(?P<rest>(?: (?:'[^']*'|[^\s;,`)]+))*)`?")

_PHRASES = (
    (re.compile(r"\badd --yes\b"), "pass agree=True"),
    (re.compile(r"\bor use another -o DIR\b"), 'or use another out="DIR"'),
    (re.compile(r"(?<=; )add (?=--)"), "pass "),
    (re.compile(r"\b(to send failed rows again, )add --retry-failed"), r"\1pass retry_failed=True"),
    (re.compile(r"\bthe same command\b"), "the same call"),
    (re.compile(r"\b(add its price) under \[prices\.(\"[^\"]+\")\](?: in a job file)?"), r"\1: prices={\2: {…}}"),
    (re.compile(r"\ba second Ctrl-C\b"), "a second interrupt"),
    (re.compile(r"\bCtrl-C(?=[:;])"), "interrupted"),
    (re.compile(r"^the command line: "), ""),
    (re.compile(r"\badd -m MODEL, or name in \[model\]"), 'name it: model="MODEL"'),
    (
        re.compile(r"\bgive it as a flag, -[ts] '?@?([^',]+)'?, or write .*$"),
        r'read it: pathlib.Path("\1").read_text()',
    ),
    (re.compile(r"\bwrite its text into the job file$"), "pass its text: pathlib.Path(…).read_text()"),
    (re.compile(r"\bexport (\w+)=(\w+)"), r'os.environ["\1"] = "\2"'),
    (re.compile(r"\bexport (\w+)=…"), r'os.environ["\1"] = getpass.getpass()'),
)


def in_python(message: str) -> str:
    """Return a message with arguments and calls of Python in the place of flags and commands."""
    parts, end = [], 0
    for found in _COMMAND.finditer(message):
        parts += [_arguments(message[end : found.start()]), _call(found)]
        end = found.end()
    return "".join([*parts, _arguments(message[end:])])


def with_arguments(message: str, arguments: Mapping[str, str]) -> str:
    """Return a message with the arguments of a call in the place of settings.

    Args:
        message: about settings such as `prompt.user`.
        arguments: setting → argument.
    """
    names = "|".join(map(re.escape, arguments))
    return re.sub(rf"(?<![\w.])(?:{names})(?![\w.]*\w)", lambda found: arguments[found[0]], message)


@contextmanager
def errors_in_python(arguments: Mapping[str, str] | None = None) -> Iterator[None]:
    """Raise each error of batchrun again with its message in Python's words, and without the chain behind it.

    Args:
        arguments: setting → argument of the call, if it is one that takes settings without a section.
    """
    try:
        yield
    except BatchrunError as problem:
        message = in_python(str(problem))
        raise type(problem)(message if arguments is None else with_arguments(message, arguments)) from None


def _arguments(text: str) -> str:
    for pattern, words in _PHRASES:
        text = pattern.sub(words, text)
    return _FLAG.sub(_argument, text)


def _argument(found: re.Match[str]) -> str:
    flag, value = found["long"] or found["short"], found["value"]
    if flag.startswith("no-") and flag[3:] in _SWITCHES:
        return f"{_name(flag[3:])}=False"
    if flag in _SWITCHES:
        return f"{_name(flag)}=True" + (f" {value}" if value else "")
    if value is None:
        return _name(flag)
    quoted = value if value.replace(".", "", 1).isdigit() else f'"{value.strip(chr(39))}"'
    return f"{_name(flag)}={quoted}"


def _name(flag: str) -> str:
    return _NAMES.get(flag, flag.replace("-", "_"))


def _call(found: re.Match[str]) -> str:
    """Return the call that does what a command does; the command itself where there is none."""
    name, arguments = found["name"], found["rest"].split()
    run = arguments[0].strip("'") if arguments else ""
    opened = f'batchrun.open_run("{run}")'
    if run and name in ("export", "report", "status") and len(arguments) == 1:
        return f"{opened}.{name}()"
    if run and name == "show":
        return f"{opened}.failed" if "--failed" in arguments else opened
    return found[0]
