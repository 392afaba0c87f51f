"""The kinds by the path that serves them, after `/v1`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batchrun.simulator.answers import complete
from batchrun.simulator.chat import Chat
from batchrun.simulator.delivery import chat_events
from batchrun.simulator.kinds import completions, embeddings, rerank, responses, score
from batchrun.simulator.kinds.kind import Body, Kind


def _as_is(body: Body) -> Body:
    return body


def _shown(completion: Body, _chat: Chat) -> Body:
    return completion


def _events(completion: Body, chat: Chat) -> Iterator[bytes]:
    return chat_events(completion, chat.include_usage)


CHAT = Kind(_as_is, complete, _shown, _events)

KINDS: Mapping[str, Kind] = {
    "/chat/completions": CHAT,
    "/completions": completions.KIND,
    "/responses": responses.KIND,
    "/embeddings": embeddings.KIND,
    "/rerank": rerank.KIND,
    "/score": score.KIND,
}
