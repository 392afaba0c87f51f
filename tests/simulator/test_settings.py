import asyncio
from dataclasses import fields

import orjson
import pytest

from batchrun.simulator.settings import KINDS, Settings, SettingsError, as_json, changed

# Ten times 0.1 is slightly more than 1 in floating point, but is accepted.
TEN = ("400", "401", "402", "403", "404", "408", "409", "413", "422", "425")


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("latency_s", "0.5", 0.5),
        ("concurrency_limit", 5, 5),
        ("concurrency_limit", "none", None),
        ("concurrency_limit", None, None),
        ("tokens_per_s", 100, 100.0),
        ("keys", ["a", "b"], ("a", "b")),
        ("require_key", False, False),
        ("error_shares", {"503": 1}, {"503": 1.0}),
        ("error_shares", ("429=0.1", "cut=0.2"), {"429": 0.1, "cut": 0.2}),
        ("error_shares", dict.fromkeys(TEN, "0.1"), dict.fromkeys(TEN, 0.1)),
        ("retry_after", {"503": 2, "429_rpm": "auto"}, {"503": "2", "429_rpm": "auto"}),
        ("error_shape", "detail", "detail"),
    ],
)
def test_a_value_comes_from_json_or_from_a_command_line(name, value, parsed):
    """Text and JSON of the same value have the same meaning."""
    assert getattr(changed(Settings(), {name: value}), name) == parsed


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("latency_s", "fast", "latency_s = 'fast'; must be a number of at least 0"),
        ("latency_s", -1, "must be a number of at least 0"),
        ("latency_s", "inf", "must be a number of at least 0"),
        ("latency_s", "nan", "must be a number of at least 0"),
        ("latency_s", True, "must be a number of at least 0"),
        ("latency_sigma", 9, "at least 0 and at most 5"),
        ("concurrency_limit", 1.5, "must be an integer of at least 0, or none"),
        ("keys", "one", "must be a list of strings"),
        ("keys", [""], "must be a list of strings"),
        ("require_key", "yes", "must be true or false"),
        ("error_shape", "xml", "must be one of openai, string"),
        ("error_shares", {"5000": 0.1}, "no fault is named '5000'"),
        ("error_shares", {"500": 0.6, "503": 0.6}, "must not add up to more than 1"),
        ("error_shares", ["500"], "must be NAME=VALUE"),
        ("retry_after", {"999": "1"}, "no fault is named '999'"),
        ("retry_after", {"503": "soon"}, "must be seconds"),
        ("latency", 1, "latency is not a setting; the nearest is latency_s"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_the_cure(name, value, message):
    """The message names the setting, the value, and the values that are accepted."""
    with pytest.raises(SettingsError) as error:
        changed(Settings(), {name: value})
    assert message in str(error.value)


def test_each_setting_is_documented_and_its_default_is_valid():
    """The help and the options are made from this table."""
    for item in fields(Settings):
        default = getattr(Settings(), item.name)
        assert item.metadata["doc"]
        assert item.metadata["group"]
        assert KINDS[item.name].parse(default) == default


def test_keys_are_not_shown():
    """The shown settings have everything except the keys."""
    shown = as_json(Settings(keys=("secret",)))
    assert shown.keys() == KINDS.keys() - {"keys"}


def test_control_changes_a_running_server(connect):
    """An outage begins and ends, and a limit is lowered, while requests come in."""

    async def scenario():
        async with connect() as client:

            async def control(**values):
                return await client.post("/control", orjson.dumps(values))

            assert (await control(error_shares={"503": 1}, concurrency_limit=7)).json["concurrency_limit"] == 7
            assert (await client.ask()).status == 503
            assert (await control(error_shares={})).status == 200
            assert (await client.ask()).status == 200
            assert client.server.settings.concurrency_limit == 7

    asyncio.run(scenario())


def test_control_refuses_an_unknown_setting_and_changes_nothing(connect):
    """One bad field makes the whole change fail."""

    async def scenario():
        async with connect() as client:
            before = client.server.settings
            reply = await client.post("/control", b'{"concurrency_limit": 1, "concurency_limit": 2}')
            assert reply.status == 400
            assert reply.message == "concurency_limit is not a setting; the nearest is concurrency_limit"
            assert (await client.post("/control", b"[]")).status == 400
            assert (await client.post("/control", b"{")).status == 400
            assert client.server.settings == before

    asyncio.run(scenario())
