"""The key: where it is found, where it is not looked for, and that it is never shown."""

import json
import traceback
from pathlib import Path

import pytest

from batchrun.endpoint.key import (
    Secret,
    find_key,
    find_project,
    find_wandb_key,
    hide_keys,
    key_place,
    shown_variable_of,
    wandb_server,
)
from batchrun.errors import EndpointRefused, JobError
from batchrun.job.endpoint import Endpoint

WANDB = Endpoint()
OPENAI = Endpoint(provider="openai")
CUSTOM = Endpoint(base_url="https://vllm.example/v1")
LOCAL = Endpoint(base_url="http://127.0.0.1:8000/v1")


def revealed(key: Secret | None) -> str | None:
    return None if key is None else key.reveal()


@pytest.mark.parametrize(
    ("endpoint", "environ", "key"),
    [
        (WANDB, {"WANDB_API_KEY": "w", "OPENAI_API_KEY": "o"}, "w"),
        (OPENAI, {"WANDB_API_KEY": "w", "OPENAI_API_KEY": "o"}, "o"),
        (CUSTOM, {"WANDB_API_KEY": "w", "OPENAI_API_KEY": "o"}, "o"),
        (LOCAL, {"WANDB_API_KEY": "w"}, None),
        (LOCAL, {"OPENAI_API_KEY": "o"}, "o"),
        (Endpoint(api_key_env="MINE"), {"MINE": "m", "WANDB_API_KEY": "w"}, "m"),
        (WANDB, {"WANDB_API_KEY": "  w\n"}, "w"),
    ],
)
def test_the_key_comes_from_the_variable_of_the_provider(
    tmp_path: Path, endpoint: Endpoint, environ: dict[str, str], key: str | None
) -> None:
    """Or from the variable that the job names; whitespace around it comes from copying."""
    assert revealed(find_key(endpoint, environ, home=tmp_path)) == key


def test_a_key_of_wandb_may_be_in_openais_variable_when_nothing_else_is_set(tmp_path: Path) -> None:
    """As in the vendor's own examples. OpenAI's own key goes to no other vendor; a named variable is the only one."""
    borrowed = {"OPENAI_API_KEY": "5f3a"}
    found = find_key(WANDB, borrowed, tmp_path)
    assert found is not None
    assert found.reveal() == "5f3a"
    assert key_place(WANDB, borrowed) == shown_variable_of(WANDB, borrowed) == "OPENAI_API_KEY"
    own = {**borrowed, "WANDB_API_KEY": "mine"}
    assert shown_variable_of(WANDB, own) == key_place(WANDB, own) == "WANDB_API_KEY"
    for endpoint, environ in ((WANDB, {"OPENAI_API_KEY": "sk-1"}), (Endpoint(api_key_env="MY_KEY"), borrowed)):
        with pytest.raises(EndpointRefused):
            find_key(endpoint, environ, tmp_path)
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password stored")
    stored = find_key(WANDB, borrowed, tmp_path)
    assert stored is not None
    assert stored.reveal() == "stored"


@pytest.mark.parametrize("host", ["api.wandb.ai", "api.forge.coreweave.com"])
def test_wandb_login_is_enough(tmp_path: Path, host: str) -> None:
    """Both generations of it store the key in ~/.netrc."""
    (tmp_path / ".netrc").write_text(
        f"machine example.com login a password b\nmachine {host}\n login user\n password k\n"
    )
    assert revealed(find_key(WANDB, {}, home=tmp_path)) == "k"
    assert revealed(find_key(WANDB, {"WANDB_API_KEY": "w"}, home=tmp_path)) == "w"


@pytest.mark.parametrize(
    "netrc",
    [
        b"machine api.wandb.ai login user password\n",
        b"nonsense\n",
        b"default login anonymous password me@example.com\n",
        b"machine api.wandb.ai login \xff password \xff\n",
        b"machine other.example login a password b\n",
    ],
    ids=["broken", "nonsense", "default", "no UTF-8", "other host"],
)
def test_a_netrc_without_a_key_for_wandb_gives_no_key(tmp_path: Path, netrc: bytes) -> None:
    """The `default` entry is sent to no host."""
    (tmp_path / ".netrc").write_bytes(netrc)
    with pytest.raises(EndpointRefused, match="no key for"):
        find_key(WANDB, {}, home=tmp_path)


@pytest.mark.parametrize("endpoint", [OPENAI, CUSTOM, Endpoint(api_key_env="MINE")])
def test_netrc_is_read_for_wandb_only(tmp_path: Path, endpoint: Endpoint) -> None:
    """And only if no variable is named."""
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password k\n")
    with pytest.raises(EndpointRefused):
        find_key(endpoint, {}, home=tmp_path)


NETRC = """
machine api.wandb.ai login user password vendors
machine wandb.example login user password ours
machine 127.0.0.1:8080 login user password local
default login user password anybodys
"""


@pytest.mark.parametrize(
    ("server", "key"),
    [
        ("https://api.wandb.ai", "vendors"),
        ("https://api.forge.coreweave.com", "vendors"),
        ("https://wandb.example", "ours"),
        ("https://wandb.example:8443/some/path", "ours"),
        ("http://127.0.0.1:8080", "local"),
        ("https://other.example", None),
        ("https://notwandb.ai", None),
        ("http://127.0.0.1:9090", None),
    ],
)
def test_a_key_in_netrc_is_sent_only_to_the_server_of_its_entry(tmp_path: Path, server: str, key: str | None) -> None:
    """The vendor's key goes to no other server; the key in a variable goes to the server that was named."""
    (tmp_path / ".netrc").write_text(NETRC)
    assert revealed(find_wandb_key(server, {"WANDB_API_KEY": "mine"}, home=tmp_path)) == "mine"
    if key is not None:
        assert revealed(find_wandb_key(server, {}, home=tmp_path)) == key
        return
    with pytest.raises(EndpointRefused, match=rf"no key to publish with to {server}: looked in WANDB_API_KEY and"):
        find_wandb_key(server, {}, home=tmp_path)
    with pytest.raises(EndpointRefused, match=r"WANDB_API_KEY and ~/.netrc has a space"):
        find_wandb_key(server, {"WANDB_API_KEY": "two words"}, home=tmp_path)


def test_the_vendors_key_does_not_go_to_another_gateway(tmp_path: Path) -> None:
    """Even if the job calls that gateway `wandb`: then the job names the key."""
    (tmp_path / ".netrc").write_text(NETRC)
    gateway = Endpoint(provider="wandb", base_url="https://gateway.example/v1")
    with pytest.raises(EndpointRefused, match=r"no key for https://gateway\.example"):
        find_key(gateway, {}, home=tmp_path)
    assert revealed(find_key(gateway, {"WANDB_API_KEY": "w"}, home=tmp_path)) == "w"


@pytest.mark.parametrize(
    "server", ["http://wandb.example", "http://192.0.2.2:8080", "wandb.example", "http://api.wandb.ai"]
)
def test_no_key_to_publish_with_leaves_this_machine_unencrypted(tmp_path: Path, server: str) -> None:
    (tmp_path / ".netrc").write_text(NETRC)
    for environ in ({}, {"WANDB_API_KEY": "mine"}):
        with pytest.raises(JobError, match=rf"WANDB_BASE_URL = {server}; must be https"):
            find_wandb_key(server, environ, home=tmp_path)


def test_the_server_is_the_named_one_or_that_of_the_login(tmp_path: Path) -> None:
    """Otherwise the vendor's. A settings file that cannot be read names no server."""
    settings = tmp_path / ".config/wandb/settings"
    settings.parent.mkdir(parents=True)
    assert wandb_server({}, home=tmp_path) == "https://api.wandb.ai"
    settings.write_text("[default]\nbase_url = https://wandb.example/\n")
    assert wandb_server({}, home=tmp_path) == "https://wandb.example"
    assert wandb_server({"WANDB_BASE_URL": "https://other.example/"}, home=tmp_path) == "https://other.example"
    assert wandb_server({"WANDB_CONFIG_DIR": str(tmp_path)}, home=tmp_path) == "https://api.wandb.ai"
    for nonsense in (b"no section", b"[default]\nbase_url\n", b"\xff\n", b"[other]\nbase_url = https://x\n"):
        settings.write_bytes(nonsense)
        assert wandb_server({}, home=tmp_path) == "https://api.wandb.ai"


@pytest.mark.parametrize(
    ("endpoint", "parts"),
    [
        (WANDB, ["https://api.inference.wandb.ai/v1", "WANDB_API_KEY", "~/.netrc", "export WANDB_API_KEY="]),
        (OPENAI, ["https://api.openai.com/v1", "OPENAI_API_KEY", "export OPENAI_API_KEY="]),
        (Endpoint(api_key_env="MINE", base_url="http://localhost/v1"), ["MINE", "export MINE="]),
    ],
)
def test_the_message_of_a_missing_key_names_where_it_was_looked_for(
    tmp_path: Path, endpoint: Endpoint, parts: list[str]
) -> None:
    """A named variable is needed for an endpoint on this machine too. Exit code 4."""
    with pytest.raises(EndpointRefused) as caught:
        find_key(endpoint, {}, home=tmp_path)
    assert caught.value.exit_code == 4
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "tab\tin", "smart–dash", "bell\x07", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(tmp_path: Path, key: str) -> None:
    """It would inject a header, or fail with a message that shows it in full."""
    with pytest.raises(EndpointRefused) as caught:
        find_key(WANDB, {"WANDB_API_KEY": key}, home=tmp_path)
    assert key not in "".join(traceback.format_exception(caught.value))
    assert "WANDB_API_KEY" in str(caught.value)
    assert "set it again" in str(caught.value)


@pytest.mark.parametrize("key", ["a1b2c3d4e5f6a7b8", "sk-abc", "lower_name-1", "x" * 80])
def test_a_key_given_as_the_name_of_its_variable_is_not_repeated(tmp_path: Path, key: str) -> None:
    """An unusual name that is not set may be the key itself."""
    with pytest.raises(EndpointRefused) as caught:
        find_key(Endpoint(api_key_env=key), {}, home=tmp_path)
    assert key not in "".join(traceback.format_exception(caught.value))
    assert revealed(find_key(Endpoint(api_key_env=key), {key: "k"}, home=tmp_path)) == "k"


KEY = "sk/canary+5f1d2c9b&8e7a"
ECHOED = [
    (b"", b""),
    (b"nothing of it", b"nothing of it"),
    (b"sk/canary+5f1d2c9b&8e7a", b"***"),
    (b'{"a": "sk/canary+5f1d2c9b&8e7a, sk/canary+5f1d2c9b&8e7a"}', b'{"a": "***, ***"}'),
    (b'{"a": "sk\\/canary+5f1d2c9b&8e7a"}', b'{"a": "***"}'),
    (b"<p>sk/canary+5f1d2c9b&amp;8e7a</p>", b"<p>***</p>"),
    (b"https://a/?k=sk%2Fcanary%2B5f1d2c9b%268e7a", b"https://a/?k=***"),
    (b"sk/canary\xff", b"sk/canary\xff"),
]


@pytest.mark.parametrize(("text", "shown"), ECHOED)
def test_an_echo_of_the_key_is_hidden_however_it_is_spelled(text: bytes, shown: bytes) -> None:
    """As it is, and as JSON, HTML and URLs escape it; the rest stays unchanged."""
    assert Secret(KEY).hide_in(text) == shown


@pytest.mark.parametrize("word", ["x", "EMPTY", "not-needed", "sk-1234", "simulated", "sk-no-key-required"])
def test_a_placeholder_for_a_key_is_not_hidden(word: str) -> None:
    """It may be a word of an answer."""
    assert Secret(word).hide_in(word.encode()) == word.encode()


def test_every_key_that_was_found_is_hidden_in_the_text_of_an_error(tmp_path: Path) -> None:
    """Also next to characters that cannot be encoded."""
    for key in ("first-0123456789ab", "second-0123456789ab"):
        find_key(OPENAI, {"OPENAI_API_KEY": key}, home=tmp_path)
    text = "first-0123456789ab \udcff second-0123456789ab third-0123456789ab"
    assert hide_keys(text) == "*** \\udcff *** third-0123456789ab"


def test_a_secret_is_never_printed() -> None:
    """In any way of formatting."""
    secret = Secret("canary")
    shown = [repr(secret), str(secret), f"{secret}", repr([secret]), repr({"key": secret})]
    assert not any("canary" in each for each in shown)
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == "canary"


@pytest.mark.parametrize(
    ("endpoint", "environ", "project"),
    [
        (Endpoint(project="t/p"), {"WANDB_ENTITY": "e", "WANDB_PROJECT": "q"}, "t/p"),
        (WANDB, {"WANDB_ENTITY": "e", "WANDB_PROJECT": "q"}, "e/q"),
        (WANDB, {"WANDB_ENTITY": "e"}, None),
        (WANDB, {"WANDB_PROJECT": "q"}, None),
        (WANDB, {}, None),
        (OPENAI, {"WANDB_ENTITY": "e", "WANDB_PROJECT": "q"}, None),
    ],
)
def test_the_project_comes_from_the_job_or_for_wandb_from_the_environment(
    endpoint: Endpoint, environ: dict[str, str], project: str | None
) -> None:
    """Half a name does not count."""
    assert find_project(endpoint, environ) == project


@pytest.mark.parametrize("entity", ["日本", "ü", "a\nX-Evil: 1", "a\udcff", " a", "a/b"])
def test_a_team_that_cannot_be_one_is_refused_by_the_name_of_its_variable(entity: str) -> None:
    """Before anything is sent."""
    with pytest.raises(JobError, match=r"WANDB_ENTITY/WANDB_PROJECT = .*; must be .*--project TEAM/PROJECT"):
        find_project(WANDB, {"WANDB_ENTITY": entity, "WANDB_PROJECT": "p"})


@pytest.mark.parametrize(
    "text",
    [
        b'{"error": "Bearer %b"}' % rb"AbCd\u002BEfGh0123456789/abcdefXYZ==",
        b'{"error": "%b"}' % "".join(f"\\u{ord(each):04X}" for each in "AbCd+EfGh0123456789/abcdefXYZ==").encode(),
        b'{"error": "\\u00e9 %b"}' % rb"AbCd\u002bEfGh0123456789\u002FabcdefXYZ\u003d=",
    ],
)
def test_a_key_whose_letters_are_escaped_is_hidden_too(text: bytes) -> None:
    """JSON may write any letter as a number, and some servers do."""
    key = Secret("AbCd+EfGh0123456789/abcdefXYZ==")
    hidden = key.hide_in(text)
    assert b"***" in hidden
    assert "0123456789" not in json.loads(hidden)["error"]
