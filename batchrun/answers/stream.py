"""Assembles the server-sent events of a stream into the chat completion that it would be without streaming. Pure.

Bytes arrive in any chunks. They are split into lines, and lines into events (an empty line ends an event). The data of
each event is one chunk of the completion, until `[DONE]`. An event without its empty line was cut off and is not read.
Sources: the HTML standard, "Server-sent events"; OpenAI's API reference, "The chat completion chunk object".
"""

from typing import Any

import orjson

from batchrun.answers.chat import text_of

_HEAD = ("id", "created", "model", "service_tier", "system_fingerprint")
"""Repeated in every chunk; the first value counts."""

_TEXTS = ("content", "reasoning", "reasoning_content", "refusal")
"""Texts that arrive in pieces; servers use different names."""


class StreamAssembler:
    """Assembles one streamed answer. Pieces are collected and joined once, at the end."""

    def __init__(self) -> None:
        self.done = False
        """Whether `[DONE]` was seen; bytes after it are not read."""
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: dict[str, Any] | None = None
        self._error: bytes | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the answer is complete: `[DONE]`, an error, or a finish reason for every choice."""
        if self.done or self._error is not None:
            return True
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if b"\n" not in data:
            self._line.append(data)
            return
        first, *lines = data.split(b"\n")
        self._read_line(b"".join((*self._line, first)))
        self._line = [lines.pop()]
        for line in lines:
            self._read_line(line)

    def result(self) -> bytes:
        """Return the answer so far as the JSON of one chat completion, or the error from the stream."""
        if self._error is not None:
            return self._error
        choices = [choice.assembled(index) for index, choice in sorted(self._choices.items())]
        completion = {**self._head, "object": "chat.completion", "choices": choices}
        if self._usage is not None:
            completion["usage"] = self._usage
        try:
            return orjson.dumps(completion)
        except TypeError:  # orjson reads deeper nesting than it writes
            return _error("the stream is nested too deeply")

    def _read_line(self, line: bytes) -> None:
        line = line.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf")  # a stream may begin with a byte order mark
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            self._read_event(b"\n".join(self._data))
            self._data = []

    def _read_event(self, data: bytes) -> None:
        if self.done or self._error is not None:
            return
        if data.strip() == b"[DONE]":
            self.done = True
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._error = _error("the stream has an event that is not JSON")
            return
        if not isinstance(chunk, dict):
            self._error = _error("the stream has an event that is not a JSON object")
        elif chunk.get("error"):
            self._error = data
        elif chunk.get("object") == "error":  # the errors of vLLM until 2025
            self._error = b'{"error":' + data + b"}"
        else:
            self._read_chunk(chunk)

    def _read_chunk(self, chunk: dict[str, Any]) -> None:
        for name in _HEAD:
            if name not in self._head and chunk.get(name) is not None:
                self._head[name] = chunk[name]
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage  # servers that send it in every chunk count up: the last one is the total
        choices = chunk.get("choices")
        for each in choices if isinstance(choices, list) else ():
            if isinstance(each, dict):
                self._choice_at(each.get("index")).read(each)

    def _choice_at(self, index: Any) -> "_Choice":
        if type(index) is not int:
            index = 0
        if index not in self._choices:
            self._choices[index] = _Choice()
        return self._choices[index]


class _Choice:
    """One choice, in pieces."""

    __slots__ = ("calls", "finish_reason", "function_call", "logprobs", "no_text", "role", "texts")

    def __init__(self) -> None:
        self.role = "assistant"
        self.texts: dict[str, list[str]] = {}
        self.no_text: Any = None
        self.calls: dict[int, _Call] = {}
        self.function_call: _Call | None = None
        self.logprobs: dict[str, list[Any]] = {}
        self.finish_reason: Any = None

    def read(self, choice: dict[str, Any]) -> None:
        """Take the next piece."""
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if isinstance(delta := choice.get("delta"), dict):
            self._read_delta(delta)
        if isinstance(logprobs := choice.get("logprobs"), dict):
            for name, tokens in logprobs.items():
                if isinstance(tokens, list):
                    self.logprobs.setdefault(name, []).extend(tokens)

    def _read_delta(self, delta: dict[str, Any]) -> None:
        for name in _TEXTS:
            piece = delta.get(name)
            if piece is not None and (text := text_of(piece)) is not None:
                self.texts.setdefault(name, []).append(text)
            elif name == "content" and piece is not None and not isinstance(piece, list):
                self.no_text = piece  # kept as it is: the rest alone would look like the whole answer
        if isinstance(role := delta.get("role"), str) and role:
            self.role = role
        if isinstance(calls := delta.get("tool_calls"), list):
            for call in calls:
                if isinstance(call, dict):
                    self._call_for(call).read(call, call.get("function"))
        if isinstance(function := delta.get("function_call"), dict):
            self.function_call = self.function_call or _Call()
            self.function_call.read({}, function)

    def _call_for(self, call: dict[str, Any]) -> "_Call":
        index = call.get("index")
        if type(index) is not int:  # some servers omit it: then an id starts the next call
            index = max(self.calls, default=-1) + 1 if call.get("id") or not self.calls else max(self.calls)
        return self.calls.setdefault(index, _Call())

    def assembled(self, index: int) -> dict[str, Any]:
        """Return the choice as a chat completion has it."""
        texts = {name: "".join(pieces) for name, pieces in self.texts.items()}
        message: dict[str, Any] = {"role": self.role, "content": None, **texts}
        if self.no_text is not None:
            message["content"] = self.no_text
        if self.calls:
            message["tool_calls"] = [self.calls[each].assembled() for each in sorted(self.calls)]
        if self.function_call:
            message["function_call"] = self.function_call.function()
        choice = {"index": index, "message": message, "finish_reason": self.finish_reason}
        return choice | {"logprobs": self.logprobs} if self.logprobs else choice


class _Call:
    """One tool call, in pieces: its arguments are JSON that arrives a few characters at a time."""

    __slots__ = ("arguments", "id", "name", "type")

    def __init__(self) -> None:
        self.id: Any = None
        self.type: Any = None
        self.name: Any = None
        self.arguments: list[str] = []

    def read(self, call: dict[str, Any], function: Any) -> None:
        """Take the next piece. Id, type and name are complete; some servers repeat them."""
        self.id = self.id or call.get("id")
        self.type = self.type or call.get("type")
        if isinstance(function, dict):
            self.name = self.name or function.get("name")
            if isinstance(arguments := function.get("arguments"), str):
                self.arguments.append(arguments)

    def function(self) -> dict[str, Any]:
        """Return name and arguments."""
        return {"name": self.name, "arguments": "".join(self.arguments)}

    def assembled(self) -> dict[str, Any]:
        """Return the call as a message has it."""
        return {"id": self.id, "type": self.type or "function", "function": self.function()}


def _error(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "bad_stream"}})
