"""What asking around an endpoint shows; nothing is guessed, and no key goes to another origin."""

import asyncio
from collections.abc import Mapping

import orjson
import pytest
from harness.raw_servers import RawServer, Visit, answer

from batchrun.endpoint import diagnosis as diagnosis_module
from batchrun.endpoint.access import Access
from batchrun.endpoint.diagnosis import finding, names_in, nearest, nearest_text, other_scheme, whats_there
from batchrun.endpoint.key import Secret
from batchrun.endpoint.pool.verdicts import UNHEARD

NAMES = ["Qwen/Qwen3.6-27B", "deepseek-ai/DeepSeek-V3.1", "meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b"]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("openai/gpt-oss-20", "openai/gpt-oss-20b"),
        ("gpt-oss-20b", "openai/gpt-oss-20b"),
        ("OpenAI/GPT-OSS-20B", "openai/gpt-oss-20b"),
        ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct"),
        ("deepseek-v3", "deepseek-ai/DeepSeek-V3.1"),
        ("wandb/Qwen/Qwen3.6-27B", "Qwen/Qwen3.6-27B"),
        ("claude", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_the_most_similar_one_with_or_without_its_maker(model: str, name: str | None) -> None:
    assert nearest(model, NAMES) == name


@pytest.mark.parametrize(
    ("models", "names", "text"),
    [
        (["gpt-oss-20"], NAMES, "did you mean openai/gpt-oss-20b?"),
        (["openai/gpt-oss-20b"], NAMES, ""),
        ([], NAMES, ""),
        (["claude"], NAMES[:1], "the endpoint serves Qwen/Qwen3.6-27B"),
        (["claude"], [], "the endpoint serves no model"),
        (["claude"], [*NAMES, "a", "b"], ""),
        (
            ["gpt-oss-20", "claude"],
            NAMES[3:],
            "did you mean openai/gpt-oss-20b instead of gpt-oss-20?; the endpoint serves",
        ),
    ],
)
def test_what_is_served_instead_is_named(models: list[str], names: list[str], text: str) -> None:
    """All names only where they are few."""
    shown = nearest_text(models, names)
    assert shown.startswith(text)
    assert bool(shown) == bool(text)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"data": 1}', b'{"data": [{}]}', b'{"data": [{"id": "\\u001b"}]}']
)
def test_a_body_that_is_not_a_list_of_models_has_no_names(body: bytes) -> None:
    assert names_in(body) is None


class Site(RawServer):
    """Lists its models at one path, and answers 404 elsewhere; keeps the heads of the requests."""

    def __init__(self, path: str | None, status: str = "404 Not Found") -> None:
        super().__init__(self._answer)
        self.heads: list[str] = []
        self._path, self._status = path, status

    async def _answer(self, visit: Visit) -> None:
        while True:
            head = (await visit.reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            names = orjson.dumps({"data": [{"id": name} for name in NAMES]})
            is_api = self._path is not None and head.startswith(f"GET {self._path}/models ")
            await visit.say(answer(names) if is_api else answer(b"no", self._status))


def found(site: Site, base: str, models: list[str], key: Secret | None = None) -> str:
    async def main() -> str:
        async with site.listening() as url:
            origin = url.removesuffix("/v1")
            text = await whats_there(Access(origin + base, key, None), models)
            return text.replace(origin, "ORIGIN")

    return asyncio.run(main())


WHERE: Mapping[str, tuple[str, str]] = {
    "no version": ("", "/v1"),
    "another path": ("/v1", "/openai/v1"),
    "too long": ("/v1/chat", "/v1"),
    "below a folder": ("/llm", "/llm/v1"),
    "a long path below a folder": ("/llm/v1/x", "/llm/v1"),
}


@pytest.mark.parametrize("name", WHERE)
def test_the_api_is_found_where_it_is(name: str) -> None:
    """With the key, because it is the same origin."""
    base, path = WHERE[name]
    site = Site(path)
    text = found(site, base, ["gpt-oss-20"], Secret("key-of-the-user"))
    assert text == f"the API is at ORIGIN{path}: use --base-url ORIGIN{path}; did you mean openai/gpt-oss-20b?"
    assert all("Authorization: Bearer key-of-the-user" in head for head in site.heads)


def test_where_nothing_is_found_nothing_is_claimed() -> None:
    assert found(Site(None), "/v1", ["m"]) == ""
    assert found(Site("/v1"), "/v1", ["openai/gpt-oss-20b"]) == ""
    assert found(Site(None, "401 Unauthorized"), "", ["m"]) == ""


def test_the_other_scheme_is_asked_without_a_key() -> None:
    """Any answer shows that it is the right one; a server that speaks neither shows nothing."""
    site = Site("/v1")

    async def main() -> list[str]:
        async with site.listening() as url:
            https = url.replace("http:", "https:")
            texts = [await other_scheme(https), await finding(UNHEARD, reach(https), ()), await other_scheme(url)]
            return [text.replace(url, "URL") for text in texts]

    one, same, none = asyncio.run(main())
    assert one == same == "URL answers: use --base-url URL"
    assert none == ""
    assert not any("authorization" in head.lower() for head in site.heads)


@pytest.mark.parametrize(
    ("path", "status", "is_named"), [("/v1", "", True), (None, "401 No", True), (None, "301 Go", False)]
)
def test_http_to_another_machine_is_only_named_where_an_api_answers(
    path: str | None, status: str, is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it means for the key."""
    monkeypatch.setattr(diagnosis_module, "is_loopback", lambda host: False)
    site = Site(path, status)

    async def main() -> str:
        async with site.listening() as url:
            return (await other_scheme(url.replace("http:", "https:"))).replace(url, "URL")

    text = "URL answers: use --base-url URL --allow-http (others can then read the key)"
    assert asyncio.run(main()) == (text if is_named else "")


def test_the_url_of_a_provider_is_not_asked_by_another_scheme() -> None:
    """It is right."""
    assert asyncio.run(finding("connection", reach("https://api.openai.com/v1"), ())) == ""


def reach(base_url: str) -> Access:
    """Return the access to an endpoint with a key."""
    return Access(base_url, Secret("key-of-the-user"), None)


@pytest.mark.parametrize("kind", ["unauthorized", "quota_exhausted", "overloaded", None])
def test_other_failures_are_not_looked_into(kind: str | None) -> None:
    assert asyncio.run(finding(kind, reach("http://127.0.0.1:1/v1"), ())) == ""


def test_a_model_that_the_job_has_already_is_not_suggested_for_another() -> None:
    """It was not meant."""
    names = ["m-one"]
    assert nearest_text(["m-two"], names, ["m-one", "m-two"]) == "the endpoint serves m-one"
    assert nearest_text(["m-two"], names).startswith("did you mean m-one?")
