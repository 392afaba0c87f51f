"""Jinja2 templates over a row's columns: sandboxed, compiled once."""

import json
import re
from collections.abc import Callable, Collection, Iterator
from math import isfinite
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.sandbox import SandboxedEnvironment

from batchrun.errors import JobError
from batchrun.prompts.input.folders import FIRST

ROW = "row"
"""Name under which a template sees all columns, for names that are not identifiers: `{{ row["review text"] }}`."""


_A_RUN = f"{FIRST}.status"
"""A column that only a run has."""


class TemplateProblem(ValueError):
    """A template cannot be rendered for one row. The message names the setting and the column."""


def as_template(column: str) -> str:
    """Return how a template writes a column."""
    return (
        f"{{{{ {column} }}}}" if column.isidentifier() else f"{{{{ {ROW}[{json.dumps(column, ensure_ascii=False)}] }}}}"
    )


class Template:
    """A compiled template.

    Null renders as nothing, a list of messages as who says what, and everything else as Python prints it (`True`,
    `0.5`), or as JSON by `tojson`. Nothing that
    a template can say is random: the same row renders the same on every run.
    """

    def __init__(self, text: str, setting: str) -> None:
        """Compile.

        Args:
            text: the template.
            setting: what people know it by: `prompt.user`.

        Raises:
            JobError: it does not compile, wants another file, or is constant and fails.
        """
        self.setting = setting
        self.file = text.strip() if _FILE.fullmatch(text.strip()) else None
        """Its text where that looks like the name of a file, as a flag writes it: `@prompt.txt`."""
        self.is_placeholder = _PLACEHOLDER.fullmatch(text.strip()) is not None
        """Whether it is nothing but a column as another tool writes it."""
        tree = _parse(text, setting)
        compiled = _ENVIRONMENT.from_string(tree)
        self._root, self._context = compiled.root_render_func, compiled.new_context
        of_jinja = {node.name for node in tree.find_all(nodes.Name)} & set(_ENVIRONMENT.globals)
        self._globals = {name: _ENVIRONMENT.globals[name] for name in of_jinja}
        names = meta.find_undeclared_variables(tree) | of_jinja  # a column may have the name of a global
        self._has_row = ROW in names
        self._reads = _Reads.of(tree, names)
        self.placeholders = frozenset(_placeholders(tree)) - (self._reads.columns or frozenset())
        """Words of its text that other tools would replace by a column: `{question}`, `$question`, `%(question)s`."""
        self.columns = self._reads.columns
        """Columns that it reads; None when it may read any."""
        self.render: Callable[[dict[str, Any]], str] = self._render if names else self._render_constant()

    def missing(self, columns: Collection[str]) -> list[str]:
        """Return the columns that the template needs and that are not among these, as far as its text shows."""
        needed = self._reads.names if ROW in columns else self._reads.names | self._reads.of_row
        if _A_RUN in columns:
            needed |= self._reads.of_first
        return sorted(name for name in needed if name not in columns)

    @property
    def first_columns(self) -> frozenset[str]:
        """Columns of a run that is the input which it needs, as far as its text shows: `first.response`."""
        return self._reads.of_first

    def _render(self, columns: dict[str, Any]) -> str:
        """Return the text for one row; raises `TemplateProblem`."""
        context = columns
        if self._has_row and ROW not in columns:
            context = {**context, ROW: columns}
        if self._globals:
            context = {**self._globals, **context}
        try:
            # What Template.render does, but without copying columns and globals for each row: 2.6 µs to its 6.2.
            return "".join(self._root(self._context(context, shared=True)))
        except UndefinedError as problem:
            missing = ", ".join(self.missing(columns))
            if missing:
                raise TemplateProblem(f"has no column {missing}, which {self.setting} names") from None
            raise TemplateProblem(
                f"{self.setting} cannot be rendered: {problem}{_number_hint(problem, columns)}"
            ) from None
        except Exception as problem:  # noqa: BLE001  # a template is a program: it can raise anything
            raise TemplateProblem(f"{self.setting} cannot be rendered: {_reason(problem)}") from None

    def _render_constant(self) -> Callable[[dict[str, Any]], str]:
        try:
            text = self._render({})
        except TemplateProblem as problem:
            raise JobError(str(problem)) from None
        return lambda _columns: text


class _Reads(NamedTuple):
    """Which columns a template reads, from its syntax tree."""

    columns: frozenset[str] | None
    """All it may read; None when that does not show."""
    names: frozenset[str]
    """Read by their names, and needed."""
    of_row: frozenset[str]
    """Read as `row["…"]`, and needed."""
    of_first: frozenset[str]
    """Read as `first.…`, and needed; each with `first.` before it."""

    @classmethod
    def of(cls, tree: nodes.Template, names: set[str]) -> "_Reads":
        """Return what the template reads, given its undeclared names."""
        guards = (node for node in tree.find_all((nodes.Filter, nodes.Test)) if node.name in _GUARDS)
        guarded = {id(node.node) for node in guards}
        optional = {node.name for node in tree.find_all(nodes.Name) if id(node) in guarded}
        of_row = {id(node): name for node in tree.find_all(nodes.Getitem) if (name := _row_column(node)) is not None}
        uses_of_row = sum(_is_row(node) for node in tree.find_all(nodes.Name))
        return cls(
            columns=frozenset(names | set(of_row.values())) if uses_of_row == len(of_row) else None,
            names=frozenset(names - optional - set(_ENVIRONMENT.globals) - {ROW}),
            of_row=frozenset(name for node_id, name in of_row.items() if node_id not in guarded),
            of_first=frozenset(_of_first(tree, guarded)),
        )


_PLACEHOLDER = re.compile(
    r"\{\s*([^{}\n]{1,100}?)\s*(?:![rsa])?(?::[^{}\n]*)?\}|\$\{?([^\W\d]\w*)\}?|%\(([^)\n]{1,100})\)s"
)
"""How str.format, string.Template, shells and the % operator write a column."""


_FILE = re.compile(r"@[^\s{}]+")


def _placeholders(tree: nodes.Template) -> Iterator[str]:
    for text in tree.find_all(nodes.TemplateData):
        for found in _PLACEHOLDER.finditer(text.data):
            yield found[1] or found[2] or found[3]


def _row_column(node: nodes.Getitem) -> str | None:
    """Return the column that `row["column"]` reads; None for everything else in brackets."""
    if _is_row(node.node) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        return node.arg.value
    return None


def _of_first(tree: nodes.Template, guarded: Collection[int]) -> Iterator[str]:
    """Yield the columns of a run that is the input which are read as `first.column` or `first["column"]`."""
    for node in tree.find_all(nodes.Getattr):
        if _is_name(node.node, FIRST) and id(node) not in guarded:
            yield f"{FIRST}.{node.attr}"
    for item in tree.find_all(nodes.Getitem):
        if _is_name(item.node, FIRST) and isinstance(item.arg, nodes.Const) and id(item) not in guarded:
            yield f"{FIRST}.{item.arg.value}"


def _is_row(node: nodes.Node) -> bool:
    return _is_name(node, ROW)


def _is_name(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name


def _number_hint(problem: Exception, columns: Collection[str]) -> str:
    """Return the cure for `row[0]`: names of columns are texts, also those that were numbers in a data frame."""
    found = re.search(r"dict object has no element (\d+)", str(problem))
    return "" if found is None or found[1] not in columns else f'; write row["{found[1]}"]'


def _reason(problem: Exception) -> str:
    return str(problem) or type(problem).__name__


def _tojson(value: Any, indent: int | None = None) -> str:
    """Return plain JSON; Jinja's own filter escapes it for web pages."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)


def _shown(value: Any) -> Any:
    """Return what a template prints for a value; pandas and others write NaN where a value is missing.

    Raises:
        ValueError: the value is NaN or infinite.
    """
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"a value is {value}, which JSON cannot express")
    if (
        value.__class__ is list
        and value
        and all(isinstance(each, dict) and {"role", "from"} & {*each} for each in value)
    ):
        return "\n\n".join(map(_spoken, value))
    return "" if value is None else value


def _spoken(message: dict[str, Any]) -> str:
    """Return one message of a conversation as a person reads it: who speaks, then the text."""
    content = message.get("content", message.get("value"))
    if isinstance(content, list):  # parts: texts, images, …
        parts = [each if isinstance(each, dict) else {"text": str(each)} for each in content]
        content = "\n".join(str(part["text"]) if "text" in part else f"[{part.get('type')}]" for part in parts)
    if calls := message.get("tool_calls"):
        content = "\n".join(filter(None, [content, _tojson(calls)]))
    return f"{message.get('role', message.get('from'))}: {content or ''}"


def _make_environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # prompts are not web pages
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters["tojson"] = _tojson
    # A prompt that differs by chance would be bought again on the next run.
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


_ENVIRONMENT = _make_environment()

_GUARDS = ("default", "d", "defined", "undefined")
"""Filters and tests that make a missing column legitimate."""


def _parse(text: str, setting: str) -> nodes.Template:
    try:
        tree = _ENVIRONMENT.parse(text)
        _ENVIRONMENT.compile(tree)  # unknown filters and tests show only here
    except TemplateSyntaxError as problem:
        raise JobError(f"{setting}: line {problem.lineno}: {problem.message}") from None
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        raise JobError(
            f"{setting}: line {node.lineno}: a template cannot read other files; put everything into one template"
        )
    return tree
