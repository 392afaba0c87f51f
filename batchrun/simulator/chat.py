"""The body of a chat completion request: checked as the real endpoint checks it, its tokens counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchrun.simulator.errors import bad_request
from batchrun.simulator.stats import fingerprint

# About what a chat template adds to each message: <|im_start|>role\n … <|im_end|>\n.
_MESSAGE_TOKENS = 3

# Numeric parameters: lowest value, highest value, integers only. Source: OpenAI's API reference.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "temperature": (0, 2, False),
    "top_p": (0, 1, False),
    "frequency_penalty": (-2, 2, False),
    "presence_penalty": (-2, 2, False),
    "n": (1, 128, True),
    "max_tokens": (1, 2**31, True),
    "max_completion_tokens": (1, 2**31, True),
    "seed": (-(2**63), 2**63 - 1, True),
    "top_logprobs": (0, 20, True),
}
# Parts other than texts and images: what they must hold. Sources: OpenAI's API reference, vLLM.
_FILE_PARTS = {
    "file": ("file_data",),
    "input_audio": ("data", "format"),
    "audio_url": ("url",),
    "video_url": ("url",),
}
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_TYPES: dict[str, type] = {
    "stream": bool,
    "logprobs": bool,
    "stream_options": dict,
    "response_format": dict,
    "chat_template_kwargs": dict,
    "tools": list,
}
_NAMES = {bool: "a boolean", dict: "an object", list: "an array", str: "a string", type(None): "null"}


@dataclass(slots=True)
class Chat:
    """A request that has passed the checks."""

    body: dict[str, Any]
    model: str
    user_texts: list[str]
    key: str  # the fingerprint that identifies the request in the counts
    prefix: str  # the system prompt, which the prefix cache may have
    prefix_tokens: int
    prompt_tokens: int
    stops: list[str] = field(default_factory=list)

    @property
    def stream(self) -> bool:
        """Whether the answer is sent as server-sent events."""
        return bool(self.body.get("stream"))

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def max_tokens(self) -> int | None:
        """The longest answer that the request allows, in tokens."""
        limit: int | None = self.body.get("max_completion_tokens") or self.body.get("max_tokens")
        return limit


def count_tokens(text: str) -> int:
    """Return about how many tokens a text has: one for each four characters, at least one."""
    return (len(text) + 3) // 4 or 1


def parse_chat(raw: bytes, *, image_tokens: int, as_chat: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Chat:
    """Return the request that a body describes; `as_chat` makes one of another kind a chat completion's.

    Raises:
        RejectedError: with the endpoint's 400.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise bad_request("We could not parse the JSON body of your request.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request("you must provide a model parameter", param="model")
    body = as_chat(body)
    messages = body.get("messages")
    if messages is None:
        raise bad_request("Missing required parameter: 'messages'.", param="messages")
    if not isinstance(messages, list) or not messages:
        raise bad_request("Invalid 'messages': expected an array with at least 1 message.", param="messages")
    _check_parameters(body)
    return _counted(body, model, messages, image_tokens)


def _counted(body: dict[str, Any], model: str, messages: list[Any], image_tokens: int) -> Chat:
    prompt_tokens, prefix, prefix_tokens = 0, "", 0
    user_texts: list[str] = []
    last_user_text = ""
    for place, message in enumerate(messages):
        texts, images = _content(message, place)
        tokens = _MESSAGE_TOKENS + sum(map(count_tokens, texts)) + images * image_tokens
        if message["role"] == "user":
            user_texts += texts
            last_user_text = "\n".join(texts)
        elif place == 0:
            prefix, prefix_tokens = "\n".join(texts), tokens
        prompt_tokens += tokens
    if body.get("tools"):
        prompt_tokens += count_tokens(orjson.dumps(body["tools"]).decode())
    stop = body.get("stop") or []
    return Chat(
        body=body,
        model=model,
        user_texts=user_texts,
        key=fingerprint(model, last_user_text, body.get("seed")),
        prefix=prefix,
        prefix_tokens=prefix_tokens,
        prompt_tokens=prompt_tokens,
        stops=[stop] if isinstance(stop, str) else stop,
    )


def _content(message: Any, place: int) -> tuple[list[str], int]:
    """Return the texts of a message and the number of its images and files."""
    where = f"messages[{place}]"
    if not isinstance(message, dict) or message.get("role") is None:
        raise bad_request(f"Missing required parameter: '{where}.role'.", param=f"{where}.role")
    if message["role"] not in _ROLES:
        problem = f"Invalid value: {message['role']!r}. Supported values are: {', '.join(map(repr, _ROLES))}."
        raise bad_request(problem, param=f"{where}.role", code="invalid_value")
    content = message.get("content")
    if isinstance(content, str):
        return [content], 0
    if content is None and message["role"] == "assistant":
        return [], 0
    if not isinstance(content, list):
        problem = f"Invalid type for '{where}.content': expected one of a string or array of objects, but got "
        raise bad_request(f"{problem}{_type_name(content)} instead.", param=f"{where}.content")
    parts = list(_parts(content, where))
    texts = [text for text in parts if text is not None]
    return texts, len(parts) - len(texts)


def _parts(content: list[Any], where: str) -> Iterator[str | None]:
    """Yield the text of each part, None for an image or a file."""
    for place, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            yield part["text"]
        elif kind == "image_url" and isinstance(part.get("image_url"), dict):
            _check_image(part["image_url"].get("url"), f"{where}.content[{place}].image_url.url")
            yield None
        elif kind in _FILE_PARTS and isinstance(part.get(kind), dict):
            _check_file(part[kind], _FILE_PARTS[kind], f"{where}.content[{place}].{kind}")
            yield None
        else:
            param = f"{where}.content[{place}]"
            raise bad_request(
                f"Invalid value for '{param}': expected a text or image_url part, or one with a file.", param=param
            )


def _check_image(url: Any, param: str) -> None:
    if not isinstance(url, str) or not url.startswith(("http://", "https://", "data:image/")):
        raise bad_request(f"Invalid '{param}'. Expected a valid URL or a data:image URL.", param=param)


def _check_file(held: dict[str, Any], keys: tuple[str, ...], param: str) -> None:
    for key in keys:
        if not isinstance(held.get(key), str) or not held[key]:
            raise bad_request(f"Missing required parameter: '{param}.{key}'.", param=f"{param}.{key}")


def _check_parameters(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if value is None:
            continue
        if name in _RANGES:
            _check_number(name, value)
        elif name in _TYPES and not isinstance(value, _TYPES[name]):
            raise _wrong_type(name, _NAMES[_TYPES[name]], value)
        elif name == "stop":
            _check_stop(value)


def _check_number(name: str, value: Any) -> None:
    low, high, whole = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise _wrong_type(name, "an integer" if whole else "a decimal", value)
    if low <= value <= high:
        return
    noun = "integer" if whole else "decimal"
    side, sign, bound = ("below minimum", ">=", low) if value < low else ("above maximum", "<=", high)
    code = f"{noun}_{side.replace(' ', '_')}_value"
    message = f"Invalid '{name}': {noun} {side} value. Expected a value {sign} {bound}, but got {value} instead."
    raise bad_request(message, param=name, code=code)


def _check_stop(value: Any) -> None:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise _wrong_type("stop", "a string or an array of strings", value)


def _wrong_type(name: str, expected: str, value: Any) -> Exception:
    got = _type_name(value)
    message = f"Invalid type for '{name}': expected {expected}, but got {got} instead."
    return bad_request(message, param=name, code="invalid_type")


def _type_name(value: Any) -> str:
    return _NAMES.get(type(value), "a number")
