"""The requests that are not rows: they find out whether a model answers, and whether the job itself is refused."""

import base64
import struct
import zlib
from typing import Any

import orjson

from batchrun.job.sections import Job
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.template import Template
from batchrun.records import Prompt, Request

_TEXT = "Say OK."
_JSON = "Say OK as JSON."
"""OpenAI refuses a JSON response format unless the messages name JSON."""

_SYSTEM = "Be brief."
"""The system message where that of the job is another one for each row."""

_IMAGE_SIDE = 64
"""Width and height of the image in pixels: Qwen2-VL takes none below 28."""


class Canaries:
    """Makes canaries for a job."""

    def __init__(self, job: Job) -> None:
        self._maker = RequestMaker(job)
        self._system = _system_of(job)
        self._has_images = job.prompt.images is not None
        self.strict_forms = self._maker.strict_forms
        """The JSON of the schema as it is sent, and without `strict`; None where `strict` is not sent."""

    def request(self, model: str, *, is_bare: bool) -> Request:
        """Return a canary: for one token, or, unless it is bare, with all that every row of the job has."""
        if is_bare:
            body = orjson.dumps({"model": model, "messages": [_user(_TEXT)], "max_tokens": 1})
        else:
            made = self._made(model, _TEXT)
            body = self._made(model, _JSON) if b'"response_format":' in made else made
        return Request(row=-1, model=model, sample=0, key=b"", body=body, custom_id=None)

    def _made(self, model: str, text: str) -> bytes:
        """Return the body that a row with this text would have."""
        user = _user([{"type": "text", "text": text}, _image()] if self._has_images else text)
        messages = [user] if self._system is None else [{"role": "system", "content": self._system}, user]
        prompt = Prompt(row=-1, custom_id=None, body={"messages": messages, "model": model})
        made = self._maker.requests(prompt)
        return next((each.body for each in made if each.model == model), made[0].body)


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
