"""A model's own tokenizer, where the user has it already: the library and its file. Nothing is ever fetched."""

import os
from collections.abc import Callable
from pathlib import Path

FILE_NAME = "tokenizer.json"


def local_tokenizer(model: str, hub: Path | None = None) -> Callable[[str], int] | None:
    """Return what counts the tokens of a text as a model does; None unless library and file are on this machine.

    Args:
        model: name on the Hugging Face hub.
        hub: folder that the hub's files are kept in; where its libraries keep them unless given.
    """
    path = _file_of(model, hub or _hub())
    if path is None:
        return None
    try:
        from tokenizers import Tokenizer  # comes with transformers and vLLM; batchrun does not need it

        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # noqa: BLE001  # no such library, or it raises its bare Exception on the file: then it is estimated
        return None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _hub() -> Path:
    """Return where the hub's libraries keep files. Source: the documentation of huggingface_hub."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "huggingface")
    return Path(home, "hub")


def _file_of(model: str, hub: Path) -> Path | None:
    """Return the tokenizer's file: in the newest snapshot that has it."""
    try:
        found = sorted(
            (hub / f"models--{model.replace('/', '--')}" / "snapshots").glob(f"*/{FILE_NAME}"),
            key=lambda path: path.stat().st_mtime,
        )
    except (OSError, ValueError):
        return None
    return found[-1] if found else None
