"""`/v1/score`: how well the first text fits each of the second. Source: the documentation of vLLM, "Score API"."""

from __future__ import annotations

from typing import Any

from batchrun.simulator.chat import Chat
from batchrun.simulator.errors import bad_request
from batchrun.simulator.kinds.kind import Body
from batchrun.simulator.kinds.rerank import relevance
from batchrun.simulator.kinds.texts import answer, data_kind, texts
from batchrun.simulator.settings import Settings


def _complete(chat: Chat, settings: Settings, *, number: int, **_: Any) -> Body:
    ones, others = texts(chat.body, "text_1"), texts(chat.body, "text_2")
    if len(ones) == 1:
        ones *= len(others)
    if len(ones) != len(others):
        raise bad_request("Input lengths must be either 1:1, 1:N or N:N", param="text_2")
    data = [
        {"index": index, "object": "score", "score": relevance(settings, one, other)}
        for index, (one, other) in enumerate(zip(ones, others, strict=True))
    ]
    return answer(chat, number, "score", object="list", data=data)


KIND = data_kind(("text_1", "text_2"), _complete)
