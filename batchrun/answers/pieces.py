"""Assembles the choices of a stream from their pieces, and keeps everything that the server sent. Pure.

Texts are joined, lists are put end to end, objects are merged, and of anything else the last value counts.
"""

from typing import Any

import orjson

from batchrun.answers.chat import is_error, text_of, thought_of
from batchrun.answers.raw_json import json_text

_NO_ENDS = ("null", "none", "None", "not_finished")
"""Finish reasons that some servers write in every piece before the last: DashScope's is the text "null"."""

_IN_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_NAMES = frozenset({"id", "type", "name", "object"})
"""Texts that are whole when they arrive; some servers repeat them with every piece."""

_MERGED_DEPTH = 4
"""How deep objects are merged; none is deeper in practice."""

_MOST_CHECKED = 1 << 20
"""How many characters of one call's arguments are looked through, at most, to see whether they are whole."""


def only_text(choice: dict[str, Any]) -> str | None:
    """Return the field of a piece that has a text, if the piece has nothing else to read; else None."""
    delta = choice.get("delta")
    if delta.__class__ is not dict or choice.get("logprobs") is not None or not choice.keys() <= _IN_CHOICE:
        return None
    fields = [name for name, value in delta.items() if name != "role" and value is not None and value != ""]
    is_text = len(fields) == 1 and fields[0] not in _NAMES and delta[fields[0]].__class__ is str
    return fields[0] if is_text else None


class StreamedChoice:
    """One choice, in pieces."""

    __slots__ = (
        "_calls",
        "_function_call",
        "_is_of_messages",
        "_logprobs",
        "_more",
        "_others",
        "_parts",
        "_role",
        "_texts",
        "finish",
    )

    def __init__(self) -> None:
        self.finish: Any = None
        """The finish reason; None before it arrives."""
        self._role = "assistant"
        self._texts: dict[str, list[str]] = {}
        self._parts: list[Any] = []
        self._calls: list[_StreamedCall] = []
        self._function_call: _StreamedCall | None = None
        self._is_of_messages = False
        """Whether the pieces come as messages."""
        self._logprobs: dict[str, list[Any]] = {}
        self._others: dict[str, Any] = {}
        self._more: dict[str, Any] = {}

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is to come: there is a finish reason, or an error in its place."""
        return bool(self.finish) or is_error(self._more.get("error"))

    def read(self, choice: dict[str, Any]) -> None:
        """Take the next piece."""
        if (finish := choice.get("finish_reason")) and finish not in _NO_ENDS:
            self.finish = finish
        if isinstance(delta := choice.get("delta"), dict):
            self._read_delta(delta)
        if isinstance(logprobs := choice.get("logprobs"), dict):
            for name, tokens in logprobs.items():
                if isinstance(tokens, list):
                    self._logprobs.setdefault(name, []).extend(tokens)
        if not choice.keys() <= _IN_CHOICE:
            self._read_more(choice)

    def read_more(self, field: str, text: str) -> None:
        """Take more of a text, of which a piece was read before."""
        self._texts[field].append(text)

    def _read_delta(self, delta: dict[str, Any]) -> None:
        for name, piece in delta.items():
            if piece.__class__ is str and name != "role":
                pieces = self._texts.get(name)
                if pieces is None:
                    self._texts[name] = [piece]
                elif name not in _NAMES:
                    pieces.append(piece)
            elif piece is not None:
                self._read_other(name, piece)

    def _read_other(self, name: str, piece: Any) -> None:
        if name == "role":
            self._role = piece if isinstance(piece, str) and piece else self._role
        elif name == "content":
            self._read_content(piece)
        elif name == "tool_calls":
            for call in piece if isinstance(piece, list) else [piece]:
                if isinstance(call, dict):
                    self._read_call(call)
        elif name == "function_call" and isinstance(piece, dict):
            self._function_call = self._function_call or _StreamedCall(0)
            self._function_call.read({"function": piece})
        else:
            _merge(self._others, name, piece)

    def _read_content(self, content: Any) -> None:
        """Take content that is not a text: parts, or JSON that the server has parsed already."""
        if (text := text_of(content)) is not None:
            self._texts.setdefault("content", []).append(text)
        if (thought := thought_of(content)) is not None:
            self._texts.setdefault("reasoning", []).append(thought)
        elif isinstance(content, list):
            self._parts += [part for part in content if text_of([part]) is None]

    def _read_more(self, choice: dict[str, Any]) -> None:
        """Take the fields of a choice that OpenAI's streams do not have."""
        for name in choice.keys() - _IN_CHOICE:
            value = choice[name]
            if name == "message":
                if isinstance(value, dict):
                    self._read_message(value)
            elif name == "text" and isinstance(value, str):
                self._read_delta({"content": value})
            elif value is not None:
                self._more[name] = value

    def _read_message(self, message: dict[str, Any]) -> None:
        """Take a message where a piece should be: it repeats what came before, or is a piece like any other."""
        pieces, content = self._texts.get("content"), message.get("content")
        if not (self._texts or self._calls):
            self._is_of_messages = True
            self._read_delta(message)
        elif isinstance(content, str) and content.startswith(joined := "".join(pieces or ())):
            self._texts["content"] = [joined, content[len(joined) :]]
        elif self._is_of_messages:
            self._read_delta(message)

    def _read_call(self, piece: dict[str, Any]) -> None:
        call = self._call_of(piece)
        if call is None:
            index = piece.get("index")
            after = max((each.index for each in self._calls), default=-1) + 1
            call = _StreamedCall(index if type(index) is int else after)
            self._calls.append(call)
        call.read(piece)

    def _call_of(self, piece: dict[str, Any]) -> "_StreamedCall | None":
        """Return the call that a piece continues; None when it begins one.

        The index tells calls apart, but some servers give all calls the same index, and some give none.
        """
        index, its_id = piece.get("index"), piece.get("id")
        if type(index) is int:
            same = [call for call in self._calls if call.index == index]
        else:
            same = [call for call in self._calls if its_id and call.id == its_id] or self._calls[-1:]
        return None if not same or same[-1].is_before(piece, has_index=type(index) is int) else same[-1]

    def assembled(self, index: int) -> dict[str, Any]:
        """Return the choice as a chat completion has it."""
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        message: dict[str, Any] = {"role": self._role, "content": None, **texts, **self._others}
        if self._parts:
            text = message["content"]
            message["content"] = [*([] if text is None else [{"type": "text", "text": text}]), *self._parts]
        if self._calls:
            calls = sorted(self._calls, key=lambda call: call.index)  # those with one index keep their order
            message["tool_calls"] = [call.assembled() for call in calls]
        if self._function_call:
            message["function_call"] = self._function_call.function()
        choice = {"index": index, "message": message, "finish_reason": self.finish, **self._more}
        return choice | {"logprobs": self._logprobs} if self._logprobs else choice


class _StreamedCall:
    """One tool call, in pieces: its arguments are JSON that arrives a few characters at a time."""

    __slots__ = ("_arguments", "_checked", "_function", "_more", "_name", "_type", "id", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id: Any = None
        self._type: Any = None
        self._name: Any = None
        self._arguments: list[str] = []
        self._checked = 0
        self._function: dict[str, Any] = {}
        self._more: dict[str, Any] = {}

    def is_before(self, piece: dict[str, Any], *, has_index: bool) -> bool:
        """Return whether a piece begins the call after this one.

        A new id alone does not show it: some servers make one up for every piece. A call begins with its name.
        """
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        begins = bool(function.get("name"))
        if (its_id := piece.get("id")) and (self.id or not has_index) and its_id != self.id:
            return begins or self._is_whole or not has_index
        if its_id or not begins:
            return False
        return self._is_whole and bool(function.get("arguments"))

    @property
    def _is_whole(self) -> bool:
        if not self._arguments or not self._arguments[-1].rstrip().endswith(("}", "]")):
            return False
        arguments = "".join(self._arguments)
        self._checked += len(arguments)
        try:
            return self._checked < _MOST_CHECKED and isinstance(orjson.loads(arguments), dict | list)
        except orjson.JSONDecodeError:
            return False

    def read(self, call: dict[str, Any]) -> None:
        """Take the next piece. Id, type and name are complete; some servers repeat them."""
        self.id = self.id or call.get("id")
        self._type = self._type or call.get("type")
        if isinstance(function := call.get("function"), dict):
            self._name = self._name or function.get("name")
            self._read_arguments(function.get("arguments"))
            for name in function.keys() - {"name", "arguments"}:
                _merge(self._function, name, function[name])
        for name in call.keys() - {"index", "id", "type", "function"}:
            _merge(self._more, name, call[name])

    def _read_arguments(self, arguments: Any) -> None:
        if isinstance(arguments, str):
            self._arguments.append(arguments)
        elif arguments is not None:  # the server has parsed them already: then they are whole
            self._arguments = [json_text(arguments) or ""]

    def function(self) -> dict[str, Any]:
        """Return name and arguments."""
        return {"name": self._name, "arguments": "".join(self._arguments), **self._function}

    def assembled(self) -> dict[str, Any]:
        """Return the call as a message has it."""
        return {"id": self.id, "type": self._type or "function", "function": self.function(), **self._more}


def _merge(into: dict[str, Any], name: str, piece: Any, depth: int = 0) -> None:
    """Add one more piece of a field."""
    before = into.get(name)
    if piece is None:
        return
    if isinstance(before, list) and isinstance(piece, list):
        before.extend(piece)
    elif isinstance(before, dict) and isinstance(piece, dict) and depth < _MERGED_DEPTH:
        for inner, value in piece.items():
            _merge(before, inner, value, depth + 1)
    elif isinstance(before, str) and isinstance(piece, str) and name not in _NAMES:
        into[name] = before + piece
    else:
        into[name] = piece
