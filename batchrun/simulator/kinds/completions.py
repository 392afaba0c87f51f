"""`/v1/completions`: the model continues a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchrun.simulator.answers import complete, pieces
from batchrun.simulator.chat import Chat
from batchrun.simulator.delivery import event
from batchrun.simulator.errors import bad_request
from batchrun.simulator.kinds.kind import Body, Kind, ask


def _as_chat(body: Body) -> Body:
    prompt = body.get("prompt")
    if prompt is None:
        raise bad_request("Missing required parameter: 'prompt'.", param="prompt")
    if isinstance(prompt, list) and all(type(each) is int for each in prompt):
        prompt = " ".join(map(str, prompt))
    if not isinstance(prompt, str):
        raise bad_request("Invalid type for 'prompt': expected a string or an array of tokens.", param="prompt")
    wanted = body.get("logprobs")
    if isinstance(wanted, bool) or not isinstance(wanted, int | None):
        raise bad_request("Invalid type for 'logprobs': expected an integer.", param="logprobs")
    thinking = {"enable_thinking": False}  # a base model does not
    asked = ask(body, prompt, logprobs=wanted is not None, chat_template_kwargs=thinking)
    return asked | ({"top_logprobs": wanted} if wanted else {})


def _text(choice: Body, chat: Chat) -> str:
    content: str = choice["message"]["content"] or ""
    return chat.user_texts[0] + content if chat.body.get("echo") else content


def _shown(completion: Body, chat: Chat) -> Body:
    choices = [
        {
            "text": _text(choice, chat),
            "index": choice["index"],
            "logprobs": _logprobs(choice["logprobs"]),
            "finish_reason": choice["finish_reason"],
        }
        for choice in completion["choices"]
    ]
    its_id = completion["id"].replace("chatcmpl", "cmpl")
    return completion | {"id": its_id, "object": "text_completion", "choices": choices}


def _logprobs(found: Body | None) -> Body | None:
    """Return the log probabilities as this kind has them: as lists. Source: OpenAI's reference."""
    if found is None:
        return None
    tokens: list[Body] = found["content"]
    alternatives = [{each["token"]: each["logprob"] for each in token["top_logprobs"]} for token in tokens]
    offsets = [sum(len(each["token"]) for each in tokens[:place]) for place in range(len(tokens))]
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": alternatives if any(alternatives) else None,
        "text_offset": offsets,
    }


def _events(completion: Body, chat: Chat) -> Iterator[bytes]:
    shown = _shown(completion, chat)
    head = {key: shown[key] for key in ("id", "object", "created", "model")}
    for choice in shown["choices"]:
        piece: dict[str, Any] = {"index": choice["index"], "logprobs": None, "finish_reason": None}
        for text in pieces(choice["text"]):
            yield event(head | {"choices": [piece | {"text": text}]})
        yield event(head | {"choices": [piece | {"text": "", "finish_reason": choice["finish_reason"]}]})
    if chat.include_usage and "usage" in shown:
        yield event(head | {"choices": [], "usage": shown["usage"]})


KIND = Kind(_as_chat, complete, _shown, _events)
