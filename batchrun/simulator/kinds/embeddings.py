"""`/v1/embeddings`: a vector of length 1 for each text, always the same one for the same text."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

from batchrun.simulator.chat import Chat
from batchrun.simulator.errors import bad_request
from batchrun.simulator.kinds.kind import Body
from batchrun.simulator.kinds.texts import answer, data_kind, seeded, texts
from batchrun.simulator.settings import Settings

_FORMATS = ("float", "base64")


def _complete(chat: Chat, settings: Settings, *, number: int, **_: Any) -> Body:
    body = chat.body
    size = body.get("dimensions", settings.embedding_dimensions)
    if type(size) is not int or not 1 <= size <= settings.embedding_dimensions:
        most = settings.embedding_dimensions
        raise bad_request(f"Invalid value for 'dimensions': {size}. Expected 1 to {most}.", param="dimensions")
    wanted = body.get("encoding_format", "float")
    if wanted not in _FORMATS:
        raise bad_request(f"Invalid value: {wanted!r}. Supported values are: {_FORMATS}.", param="encoding_format")
    data = []
    for index, text in enumerate(texts(body, "input")):
        packed = struct.pack(f"<{size}f", *_vector(settings, chat.model, text, size))
        value: Any = base64.b64encode(packed).decode() if wanted == "base64" else struct.unpack(f"<{size}f", packed)
        data.append({"object": "embedding", "index": index, "embedding": value})
    return answer(chat, number, "embd", object="list", data=data)


def _vector(settings: Settings, model: str, text: str, size: int) -> list[float]:
    random = seeded(settings, model, text)
    numbers = [random.gauss() for _ in range(size)]
    length = math.hypot(*numbers) or 1.0
    return [each / length for each in numbers]


KIND = data_kind(("input",), _complete)
