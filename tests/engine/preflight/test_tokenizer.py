"""The model's tokenizer, where this machine has it."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from batchrun.engine.preflight.tokenizer import local_tokenizer


class Words:
    """Stands in for `tokenizers.Tokenizer`: a token is a word."""

    @classmethod
    def from_file(cls, path: str) -> "Words":
        """Read; the real one raises a bare Exception on a broken file."""
        if not Path(path).read_text():
            raise Exception("expected value at line 1 column 1")  # as the library does
        return cls()

    def encode(self, text: str, *, add_special_tokens: bool) -> SimpleNamespace:
        """Return the words."""
        assert not add_special_tokens
        return SimpleNamespace(ids=text.split())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with the tokenizer of one model, and a library that reads it."""
    library = ModuleType("tokenizers")
    library.Tokenizer = Words  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tokenizers", library)
    snapshot = tmp_path / "hub" / "models--org--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_text("{}")
    return tmp_path / "hub"


def test_a_tokenizer_in_the_hub_cache_is_used(hub: Path) -> None:
    """It is read where the hub's libraries keep it."""
    count = local_tokenizer("org/model", hub)
    assert count is not None
    assert count("three words here") == 3


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_the_environment_variables_of_the_hub_are_obeyed(
    hub: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """In the order of its documentation."""
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(hub / "nowhere"))
    assert local_tokenizer("org/model") is None
    home = {"HF_HUB_CACHE": hub, "HF_HOME": hub.parent, "XDG_CACHE_HOME": hub.parent / "cache"}[variable]
    if variable == "XDG_CACHE_HOME":
        (home / "huggingface").mkdir(parents=True)
        hub.rename(home / "huggingface" / "hub")
    monkeypatch.setenv(variable, str(home))
    assert local_tokenizer("org/model") is not None


def test_a_tokenizer_that_is_not_there_is_not_downloaded(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, a broken file, no library or an impossible name: then tokens are estimated."""
    assert local_tokenizer("org/other", hub) is None
    assert local_tokenizer("wandb-artifact:///team/project/lora:v1", hub) is None
    assert local_tokenizer("a\0b", hub) is None
    (next(hub.rglob("tokenizer.json"))).write_text("")
    assert local_tokenizer("org/model", hub) is None
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert local_tokenizer("org/model", hub) is None
