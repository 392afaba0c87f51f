"""The answers of an embedding server, and a program that only decodes them. Prints CPU seconds as JSON.

The vectors do not repeat within some thousand rows, as those of real texts: Parquet would keep a dictionary of them.
`python -m benchmarks.vectors DIMENSIONS ROWS`
"""

import base64
import json
import random
import sys
import time
from array import array
from itertools import cycle, islice

TEXTS = 64
"""Texts of one request."""

_REPLIES = 16
"""Different replies, which take turns."""

_SHARE = 1 / (1 << 32)


def texts_of(dimensions: int) -> list[list[str]]:
    """Return the vectors of each reply as base64, always the same ones."""
    chance = random.Random(16)
    return [[_vector(chance, dimensions) for _ in range(TEXTS)] for _ in range(_REPLIES)]


def _vector(chance: random.Random, dimensions: int) -> str:
    numbers = array("I", chance.randbytes(4 * dimensions))
    return base64.b64encode(array("f", [each * _SHARE - 0.5 for each in numbers])).decode()


def replies(dimensions: int) -> list[bytes]:
    """Return answers to requests with 64 texts."""
    return [_reply(vectors) for vectors in texts_of(dimensions)]


def _reply(vectors: list[str]) -> bytes:
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(vectors)]
    usage = {"prompt_tokens": 61 * TEXTS, "total_tokens": 61 * TEXTS}
    return json.dumps({"object": "list", "data": data, "model": "BAAI/bge-m3", "usage": usage}).encode()


def main() -> None:
    """Decode as many vectors as there are rows into NumPy arrays."""
    import numpy as np

    dimensions, rows = map(int, sys.argv[1:])
    vectors = [each for reply in texts_of(dimensions) for each in reply]
    size = 0
    began_s = time.process_time()
    for each in islice(cycle(vectors), rows):
        size += np.frombuffer(base64.b64decode(each), dtype="<f4").size
    cpu_s = time.process_time() - began_s
    assert size == rows * dimensions
    print(json.dumps({"cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
