"""Prompt + job → requests: bodies and their keys. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from batchrun.errors import JobError
from batchrun.job.catalogue import is_reasoning
from batchrun.job.sections import Job
from batchrun.job.serving import plain_name, serving, unserved_text
from batchrun.prompts.as_written import AsWritten
from batchrun.prompts.kinds.shape import Shape
from batchrun.prompts.kinds.table import SHAPES, unfit
from batchrun.prompts.other_keys import OtherKeys
from batchrun.prompts.response_format import Formats, response_formats
from batchrun.prompts.values import RowProblem, kind_of, plain
from batchrun.records import BadRow, Prompt, Request, RequestKind, Row

MAX_BODY_BYTES = 64 << 20
"""Longest body. No endpoint takes as much; the same bound as for answers."""

_KEY_BYTES = 16

_ATTACHMENT = re.compile(
    rb'(?:(?<="url":")|(?<="image_url":")|(?<="file_data":")|(?<="data":"))((?:image|file):[0-9a-f]{32})(?=")'
)
"""Where an image or a file goes. In a text the quotes have a backslash before them, so that no text looks like this."""


_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of requests."""


class RequestMaker:
    """Makes requests of prompts of one kind, one per model and sample, in that order."""

    def __init__(self, job: Job, kind: RequestKind | None = None) -> None:
        """Prepare what is the same for every row.

        Args:
            job: what to run.
            kind: of the requests; that of the job unless given.

        Raises:
            JobError: a parameter of the job cannot be sent as JSON, or the kind does not take it.
        """
        self.kind: RequestKind = kind or job.model.kind
        """Kind of the requests."""
        self._shape = SHAPES[self.kind]
        self._convert = self._shape.converted
        self._first, *self._others = self._shape.keys
        self._asked = frozenset({*self._shape.keys, "model"})  # keys of a body that are not parameters
        self._salt = b"" if self.kind == "chat" else self.kind.encode()  # bodies of two kinds may be the same
        if problem := unfit(job, self.kind):
            raise JobError(problem)
        self._samples = range(job.model.num_samples)
        self._models = job.models
        self._endpoints = job.endpoints
        self._own_heads: dict[str, tuple[str, bytes]] = {}  # by model, as a row names it
        self._stream = job.model.stream
        self._transports: dict[str, bytes] = {}  # by model
        self.other_keys: OtherKeys | None = None
        """Gets the keys of requests under other names of their models, while they are looked for in other runs."""
        _refuse_ours(job, self._shape.keys)
        formats = response_formats(job.response)
        try:
            # In a fixed order, so that a job file's order of keys changes no request.
            self._parameters = plain(dict(sorted(_parameters(job, self._shape, formats).items())))
            self._by_flag = {name: self._parameters[name] for name in _by_flag(job, self._shape)}
            self._parameters = self._merged({}, frozenset())
            self._tails = self._tails_of(self._parameters)
            self._heads = [(model, self._head(model)) for model in job.models]
            forms = [_json(plain(self._format(each))) for each in formats] if formats else [b"", b"", b""]
        except RowProblem as problem:
            raise JobError(f"[model]: {problem}") from None
        keyed, sent, lenient = forms
        self._sent_format = None if keyed == sent else (keyed, sent)
        self.strict_forms = None if sent == lenient else (sent, lenient)
        """The JSON of the schema as it is sent, and without `strict`; None where `strict` is not sent."""

    def requests(self, prompt: Prompt) -> list[Request]:
        """Return the prompt's requests; raises `RowProblem`."""
        body = prompt.body
        if self._convert is not None and "messages" in body:
            body = self._convert(body)
        if len(body) == 1 and not prompt.without:  # nothing but what is asked: what follows it is known
            heads, tails = self._heads, self._tails
        else:
            own = {key: value for key, value in body.items() if key not in self._asked}
            heads = self._heads or [self._own_head(body.get("model"))]
            tails = self._tails_of(self._merged(own, prompt.without)) if own or prompt.without else self._tails
        if not heads:
            raise RowProblem("has no model, and the job names none; add -m MODEL, or name in [model]")
        asked = _json(body[self._first])
        if self._others:
            asked += b"".join(b',"%b":%b' % (key.encode(), _json(body[key])) for key in self._others)
        written = AsWritten.of(prompt.line) if prompt.line else None
        return [
            self._request(prompt, model, sample, head + asked + tail, written)
            for model, head in heads
            for sample, tail in enumerate(tails)
        ]

    def bad_rows(self, row: Row, custom_id: str | None, problem: str) -> Iterator[BadRow]:
        """Yield the entries of a broken row: as many as a valid row would have."""
        message = f"{row.source}: {problem}"
        key = _key(f"{custom_id}\n{message}".encode("utf-8", "surrogatepass"))
        for model in self._models or ("",):
            for sample in self._samples:
                yield BadRow(row.number, model, sample, key, custom_id, message)

    def _request(self, prompt: Prompt, model: str, sample: int, asked: bytes, written: AsWritten | None) -> Request:
        key = _key(self._salt + asked)
        if self.other_keys is not None:
            self._note_other_keys(self.other_keys, model, asked)
        if self._sent_format is not None:
            asked = asked.replace(*self._sent_format)
        transport = self._transports.get(model)
        if transport is None:
            is_streamed = _is_streamed(model, self._stream)
            transport = self._transports[model] = self._shape.stream if is_streamed else b""
        as_written = None if written is None else self._as_written(written, model, asked, transport)
        if prompt.attachments:  # in the key their names are enough, which are their hashes
            asked = _with_attachments(asked, {each.name.encode(): each.data for each in prompt.attachments})
        body = as_written or (asked[:-1] + transport + b"}" if transport else asked)
        if len(body) > MAX_BODY_BYTES:
            raise RowProblem(
                f"makes a request of {len(body) >> 20} MiB; at most {MAX_BODY_BYTES >> 20} MiB can be sent"
            )
        return _new(Request, (prompt.row, model, sample, key, body, prompt.custom_id, self.kind, ()))

    def _note_other_keys(self, others: OtherKeys, model: str, asked: bytes) -> None:
        """Note the keys that a request has under all names of its model; nothing where it has only one."""
        if names := others.names.get(model):
            nameless = asked[len(self._head(model)) :]
            others.note([_key(self._salt + self._head(name) + nameless) for name in names], _key(self._salt + nameless))

    def _as_written(self, written: AsWritten, model: str, asked: bytes, transport: bytes) -> bytes | None:
        """Return the body of a batch line as it stands there; None where it does not ask what is asked."""
        if self.strict_forms is not None and self.strict_forms[0] in asked:
            return None  # a model may refuse `strict`: the pool finds this text in the body and takes it out
        return written.sent(asked, model, transport, has_samples=len(self._samples) > 1)

    def _merged(self, own: dict[str, Any], without: frozenset[str]) -> dict[str, Any]:
        """Return the parameters of a row: the job's, over them the row's, over them those that a flag sets."""
        merged = {name: value for name, value in self._parameters.items() if name not in without} | own
        for stated in (own, self._by_flag):
            for name, other in _SAME:
                if name in stated and other not in stated:
                    merged.pop(other, None)
        return merged | self._by_flag

    def _own_head(self, model: Any) -> tuple[str, bytes]:
        if model is None:
            raise RowProblem("has no model, and the job names none; add -m MODEL, or name in [model]")
        if not isinstance(model, str) or not model:
            raise RowProblem(f"model is {kind_of(model)}; must be a non-empty string")
        if (head := self._own_heads.get(model)) is None:
            name = plain_name(model, self._endpoints)
            if not serving(self._endpoints, name):
                raise RowProblem(f"model {name} {unserved_text(self._endpoints, name)}")
            head = self._own_heads[model] = name, self._head(name)
        return head

    def _head(self, model: str) -> bytes:
        return b'{"model":%b,"%b":' % (_json(model), self._first.encode())

    def _tails_of(self, parameters: dict[str, Any]) -> list[bytes]:
        """Return what follows the messages in a body, for each sample."""
        seed = parameters.get("seed")
        if seed is None or len(self._samples) == 1:
            return [self._tail(parameters)] * len(self._samples)
        if not isinstance(seed, int):
            raise RowProblem(f"seed is {kind_of(seed)}; must be a whole number")
        return [self._tail(parameters | {"seed": seed + sample}) for sample in self._samples]

    def _format(self, response_format: dict[str, Any]) -> Any:
        """Return a `response_format` as it stands in the bodies."""
        if self._shape.translated is None:
            return response_format
        return self._shape.translated({"response_format": response_format})["text"]["format"]

    def _tail(self, parameters: dict[str, Any]) -> bytes:
        if self._shape.translated is not None:
            parameters = self._shape.translated(parameters)
        return b"," + _json(parameters)[1:] if parameters else b"}"


_SAME = (("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens"))
"""Two names of one parameter: a value for one replaces a value for the other. Source: OpenAI's reference."""


def _by_flag(job: Job, shape: Shape) -> list[str]:
    """Return the parameters that a flag sets, which rows do not change."""
    return [name for name in _taken(job, shape) if f"model.{name}" in job.by_flag]


def _parameters(job: Job, shape: Shape, formats: Formats | None) -> dict[str, Any]:
    """Return the keys of the body that the job sets, without model and what is asked."""
    parameters = _taken(job, shape)
    if formats is None:
        return parameters
    if "response_format" in parameters:
        raise JobError("[model] response_format and [response] schema are both set; keep one of them")
    return parameters | {"response_format": formats.keyed}


def _taken(job: Job, shape: Shape) -> dict[str, Any]:
    """Return the parameters of the job that a kind takes: the keys that the job passes through are for all kinds."""
    taken = {*shape.settings, *job.model.extra_body}
    return {name: value for name, value in job.model.parameters().items() if name in taken}


def _refuse_ours(job: Job, asked: Iterable[str]) -> None:
    """Refuse keys in `extra_body` that the run itself sets: the body would contain them twice."""
    for key in ("model", *asked, "n", "stream", "stream_options"):
        if key in job.model.extra_body:
            raise JobError(
                f"[model.extra_body] {key} cannot be set: the run sets it from names, num_samples and stream"
            )


def _is_streamed(model: str, stream: bool | str) -> bool:
    """Return whether answers of a model are streamed; with `auto`, only of reasoning models."""
    return is_reasoning(model) if stream == "auto" else bool(stream)


def _with_attachments(asked: bytes, data: Mapping[bytes, bytes]) -> bytes:
    return _ATTACHMENT.sub(lambda found: data.get(found[1], found[1]), asked)


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError as problem:
        raise RowProblem(f"cannot be sent as JSON: {problem}") from None


def _key(content: bytes) -> bytes:
    return blake2b(content, digest_size=_KEY_BYTES).digest()
