"""Reads ordinary chat completions faster than any other kind. Pure.

`is_ordinary` says which are ordinary. The most frequent of them fit the types below: a body is then decoded into these,
which takes half of what it takes to make dicts and look through them. Fields without a name here are skipped.
`envelope` reads every kind; where this reads one, it finds the same.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from batchrun.answers.chat import EITHER_TAG, ENDS, Completion
from batchrun.answers.usage import MOST_TOKENS, parse_usage
from batchrun.records import Usage

_Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
_CountOfSome = Annotated[int, Meta(ge=1, le=MOST_TOKENS)]

_NoText = Literal[""] | None
_NoList = tuple[()] | None
"""Servers write fields that have nothing in them, too."""


class _PromptDetails(Struct, gc=False):
    cached_tokens: _Count | None = None


class _CompletionDetails(Struct, gc=False):
    reasoning_tokens: _Count | None = None


class _Usage(Struct, gc=False, forbid_unknown_fields=True):
    """The usage of OpenAI and vLLM: with other fields it must be searched for other counts."""

    prompt_tokens: _CountOfSome
    completion_tokens: _CountOfSome
    total_tokens: _CountOfSome
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Message(Struct, gc=False):
    """Of any content: a text, tool calls, nothing."""

    error: None = None


class _Choice(Struct, gc=False):
    message: _Message
    finish_reason: str | None = None
    error: None = None


class _Counted(Struct, gc=False):
    """What is needed of an answer when it arrives."""

    choices: tuple[_Choice]
    usage: _Usage
    error: None = None


class _TextMessage(Struct, gc=False):
    """With a text, and nothing else that is shown."""

    content: str
    reasoning: _NoText = None
    reasoning_content: _NoText = None
    reasoning_details: _NoList = None
    tool_calls: _NoList = None
    function_call: None = None
    refusal: _NoText = None
    error: None = None


class _TextChoice(Struct, gc=False):
    message: _TextMessage
    finish_reason: Literal["stop", "length"]
    error: None = None


class _Text(Struct, gc=False):
    """What is shown of an answer."""

    id: str
    choices: tuple[_TextChoice]
    error: None = None


_counted = Decoder(_Counted).decode
_text = Decoder(_Text).decode

_UNFIT = (DecodeError, ValueError, RecursionError)
"""Errors of a body that does not fit the types, is not JSON, or is nested too deeply."""

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of answers."""


def is_ordinary(reply: Any) -> bool:
    """Return whether one look shows that `problem_of` and `broken_choice` find nothing in a parsed body."""
    if reply.__class__ is not dict or "error" in reply:
        return False
    choices = reply.get("choices")
    if choices.__class__ is not list or len(choices) != 1 or (choice := choices[0]).__class__ is not dict:
        return False
    message = choice.get("message")
    if message.__class__ is not dict or "error" in choice or "error" in message:
        return False
    return choice.get("finish_reason") in ENDS


def ordinary_usage(body: bytes) -> Usage | None:
    """Return the token counts of a body that is an ordinary chat completion; None of any other.

    So one look shows that the body is neither a stream, nor packed, nor an error.
    """
    if (usage := _usual_usage(body)) is not None:
        return usage
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parse_usage(reply) if is_ordinary(reply) else None


def _usual_usage(body: bytes) -> Usage | None:
    """Return the token counts of an ordinary completion in the usual form, as `parse_usage` finds them."""
    try:
        answer = _counted(body)
    except _UNFIT:
        return None
    usage = answer.usage
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    in_prompt, in_completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = None if in_prompt is None else in_prompt.cached_tokens
    reasoning = None if in_completion is None else in_completion.reasoning_tokens
    is_sound = prompt + completion == total and (cached or 0) <= prompt and (reasoning or 0) <= completion
    if not is_sound or answer.choices[0].finish_reason not in ENDS:
        return None
    return _new(Usage, (prompt, completion, total, cached, reasoning))


def plain_completion(body: bytes) -> Completion | None:
    """Return the shown parts of a body that has one choice with a text and nothing else; None for all others."""
    try:
        answer = _text(body)
    except _UNFIT:
        return None
    choice = answer.choices[0]
    response = choice.message.content
    if EITHER_TAG in response:
        return None
    return _new(Completion, (response, None, None, choice.finish_reason, answer.id, None, None, None))


class PlainAnswers(NamedTuple):
    """What `plain_completion` returns for many bodies, as columns."""

    responses: list[str | None]
    finish_reasons: list[str | None]
    response_ids: list[str | None]
    others: list[int]
    """The places of bodies for which it returns None; they are None in each column."""


def plain_answers(bodies: Sequence[bytes | None]) -> PlainAnswers:
    """Return the shown parts of bodies that have one choice with a text and nothing else, without a call for each."""
    answers, others = _decoded(bodies)
    choices = [answer.choices[0] for answer in answers]
    texts = [choice.message.content for choice in choices]
    responses: list[str | None] = [*texts]
    finish_reasons: list[str | None] = [choice.finish_reason for choice in choices]
    response_ids: list[str | None] = [answer.id for answer in answers]
    others = sorted([*others, *(place for place, text in enumerate(texts) if EITHER_TAG in text)])
    for place in others:
        responses[place] = finish_reasons[place] = response_ids[place] = None
    return PlainAnswers(responses, finish_reasons, response_ids, others)


def _decoded(bodies: Sequence[bytes | None]) -> tuple[list[_Text], list[int]]:
    """Return an answer for each body, and the places of those that do not fit, where any answer stands."""
    answers: list[_Text] = []
    others: list[int] = []
    decoded = map(_text, bodies)  # type: ignore[arg-type]  # it refuses None
    while len(answers) < len(bodies):
        try:
            answers.extend(decoded)  # goes on behind a body that did not fit
        except (*_UNFIT, TypeError):
            others.append(len(answers))
            answers.append(_ANY)
    return answers, others


_ANY = _text(b'{"id": "", "choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}')
