"""The requests that are not rows: they find out whether a model answers, and whether the job itself is refused."""

import base64
import struct
import zlib
from typing import Any

import orjson

from batchrun.endpoint.renaming import as_asked_of
from batchrun.job.sections import Job
from batchrun.prompts.kinds.shape import CANARY
from batchrun.prompts.kinds.table import SHAPES
from batchrun.prompts.other_makers import OtherMakers
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.template import Template
from batchrun.records import Prompt, Request

_TEXT = CANARY
_JSON = "Say OK as JSON."
"""OpenAI refuses a JSON response format unless the messages name JSON."""

_FORMATS = (b'"response_format":', b'"text":{"format":')
"""In the bodies of requests that ask for JSON; in a text the quotes have a backslash before them."""

_SYSTEM = "Be brief."
"""The system message where that of the job is another one for each row."""

_IMAGE_SIDE = 64
"""Width and height of the image in pixels: Qwen2-VL takes none below 28."""


class Canaries:
    """Makes canaries for a job."""

    def __init__(self, job: Job, others: OtherMakers | None = None) -> None:
        """Take the job, and the makers for its rows of other kinds, which know the models of these."""
        self._maker = RequestMaker(job)
        self._others = OtherMakers(job) if others is None else others
        self._system = _system_of(job)
        self._has_images = job.prompt.images is not None
        self.strict_forms = self._maker.strict_forms
        """The JSON of the schema as it is sent, and without `strict`; None where `strict` is not sent."""

    def request(self, model: str, *, is_bare: bool) -> Request:
        """Return a canary: for one token, or, unless it is bare, with all that every row of the job has."""
        kind = self._others.kinds.get(model, self._maker.kind)
        maker = self._maker if kind == self._maker.kind else self._others.maker(kind)
        shape = SHAPES[kind]
        if is_bare:
            body = orjson.dumps({"model": model, **shape.canary})
        elif shape.has_messages:
            made = self._made(maker, model, self._messages(_TEXT))
            body = self._made(maker, model, self._messages(_JSON)) if any(each in made for each in _FORMATS) else made
        else:
            body = self._made(maker, model, {key: shape.canary[key] for key in shape.keys})
        return Request(row=-1, model=model, sample=0, key=b"", body=body, custom_id=None, kind=kind)

    def _messages(self, text: str) -> dict[str, Any]:
        """Return what a row with this text would ask."""
        user = _user([{"type": "text", "text": text}, _image()] if self._has_images else text)
        return {"messages": [user] if self._system is None else [{"role": "system", "content": self._system}, user]}

    @staticmethod
    def _made(maker: RequestMaker, model: str, asked: dict[str, Any]) -> bytes:
        """Return the body that a row which asks this would have; of a fallback, the row of another model passed on."""
        prompt = Prompt(row=-1, custom_id=None, body=asked | {"model": model}, kind=maker.kind)
        made = maker.requests(prompt)
        return next((each for each in made if each.model == model), as_asked_of(made[0], model)).body


def _system_of(job: Job) -> str | None:
    """Return a system message like that of the job's rows; None where the job gives them none."""
    if not job.prompt.system_message:
        return None
    template = Template(job.prompt.system_message, "prompt.system")
    return template.render({}) if template.columns == frozenset() else _SYSTEM


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _image() -> dict[str, Any]:
    """Return a white image, as a part of a message."""
    row = b"\0" + b"\xff" * _IMAGE_SIDE  # no filter, then a byte for each pixel
    header = struct.pack(">IIBBBBB", _IMAGE_SIDE, _IMAGE_SIDE, 8, 0, 0, 0, 0)  # 8 bits of grey
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(row * _IMAGE_SIDE)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(png).decode()}}
