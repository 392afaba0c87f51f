"""How a setting is declared and checked."""

from dataclasses import dataclass
from typing import Any

import pytest

from batchrun.job import settings, urls
from batchrun.job.settings import Section, SettingError, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Kitchen(Section):
    cooks: int = setting(1, "how many", settings.whole(1))
    heat: float = setting(1.5, "how hot", settings.number(above=0, at_most=10))
    open: bool = setting(False, "whether guests come in", settings.flag)
    rest_s: float | None = setting(None, "pause", settings.duration_s, key="rest")
    spices: dict[str, int] = setting(dict, "what is there", settings.table)


def test_a_section_without_arguments_has_its_defaults() -> None:
    """Every default is a value that can be used."""
    assert Kitchen() == Kitchen(cooks=1, heat=1.5, open=False, rest_s=None, spices={})


def test_a_section_keeps_what_its_checks_return() -> None:
    """A value is parsed once, when the section is made."""
    assert Kitchen(rest_s="1m30s").rest_s == 90  # type: ignore[arg-type]  # as a file says it


def test_a_bad_value_names_the_key_as_the_job_file_has_it() -> None:
    """The error has the key, the value and what it must be."""
    with pytest.raises(SettingError) as caught:
        Kitchen(rest_s="soon")  # type: ignore[arg-type]  # as a file says it
    assert (caught.value.key, caught.value.value) == ("rest", "soon")
    assert caught.value.must == "must be a duration such as 8h, 1h30m or 45s"


@pytest.mark.parametrize("wrong", [{"cooks": True}, {"cooks": 1.0}, {"open": 0}, {"heat": "1.5"}, {"spices": []}])
def test_a_value_that_only_equals_the_default_is_checked_too(wrong: dict[str, Any]) -> None:
    """In Python `True == 1 == 1.0`; in a job file they are three different values."""
    with pytest.raises(SettingError):
        Kitchen(**wrong)


def test_two_sections_do_not_share_a_default_table() -> None:
    """A change of one section's table does not change another's."""
    assert Kitchen().spices is not Kitchen().spices


GOOD = [
    (settings.text, "a", "a"),
    (settings.texts, "a", ("a",)),
    (settings.texts, ["a", "b"], ("a", "b")),
    (settings.texts, ("a",), ("a",)),
    (settings.one_of("on", "off"), "off", "off"),
    (settings.flag, True, True),
    (settings.whole(0), 0, 0),
    (settings.whole(1, 3), 3, 3),
    (settings.number(), -1.5, -1.5),
    (settings.number(at_least=0, at_most=2), 2, 2),
    (settings.number(above=0), 1e-9, 1e-9),
    (settings.number(), 1e300, 1e300),
    (settings.duration_s, "8h", 28_800),
    (settings.duration_s, "1h30m", 5_400),
    (settings.duration_s, "1d", 86_400),
    (settings.duration_s, "0.5h", 1_800),
    (settings.duration_s, "1 H 5 S", 3_605),
    (settings.duration_s, 45, 45),
    (settings.clock_time, "7:05", "07:05"),
    (settings.clock_time, "23:59", "23:59"),
    (urls.http_url, "https://host/v1/", "https://host/v1"),
    (urls.http_url, "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
    (urls.http_url, "http://[::1]:8000", "http://[::1]:8000"),
    (settings.header_text, "team/project", "team/project"),
    (settings.booked_project, "my-team/my_project", "my-team/my_project"),
    (settings.booked_project, "proj_abc123", "proj_abc123"),
    (settings.table, {"a": 1}, {"a": 1}),
]


@pytest.mark.parametrize(("check", "value", "used"), GOOD)
def test_a_check_returns_the_value_as_it_is_used(check: settings.Check, value: Any, used: Any) -> None:
    """Every way to write a value gives one form."""
    assert check(value) == used


def test_a_whole_number_has_one_form() -> None:
    """`--temperature 0` and `temperature = 0` make the same request, so they have the same key."""
    assert [str(settings.number()(value)) for value in (0, 0.0, 1.0, 0.5)] == ["0", "0", "1", "0.5"]


@pytest.mark.parametrize(("check", "value", "used"), GOOD)
def test_a_checked_value_passes_its_check_again(check: settings.Check, value: Any, used: Any) -> None:
    """A job that is read from the checkpoint passes the same checks."""
    assert check(check(value)) == used


@pytest.mark.parametrize(
    ("check", "value", "must"),
    [
        (settings.text, "", "a non-empty string"),
        (settings.text, 3, "a non-empty string"),
        (settings.text, "caf\udce9", "valid UTF-8; rename the file or column"),
        (settings.texts, [], "a string or a list of strings"),
        (settings.texts, {"a": 1}, "a string or a list of strings"),
        (settings.texts, ["a", ""], "a non-empty string"),
        (settings.texts, ["a", 3], "a non-empty string"),
        (settings.one_of("on", "off"), "of", "one of on, off"),
        (settings.flag, 1, "true or false"),
        (settings.flag, "yes", "true or false"),
        (settings.whole(1), 0, "at least 1"),
        (settings.whole(1, 3), 4, "at most 3"),
        (settings.whole(1), 1.0, "a whole number"),
        (settings.whole(0), False, "a whole number"),
        (settings.whole(1), "1", "a whole number"),
        (settings.number(), float("nan"), "a number"),
        (settings.number(), float("inf"), "a number"),
        (settings.number(), True, "a number"),
        (settings.number(), "1", "a number"),
        (settings.number(above=0), 0, "above 0"),
        (settings.number(at_least=0.5), 0.4, "at least 0.5"),
        (settings.number(at_most=2), 2.1, "at most 2"),
        (settings.duration_s, "", "a duration such as 8h, 1h30m or 45s"),
        (settings.duration_s, "8", "a duration such as 8h, 1h30m or 45s"),
        (settings.duration_s, "30m1h", "a duration such as 8h, 1h30m or 45s"),
        (settings.duration_s, "-1h", "a duration such as 8h, 1h30m or 45s"),
        (settings.duration_s, "0s", "above 0"),
        (settings.duration_s, -5, "above 0"),
        (settings.clock_time, "24:00", "a time of day such as 07:30"),
        (settings.clock_time, "12:60", "a time of day such as 07:30"),
        (settings.clock_time, "noon", "a time of day such as 07:30"),
        (settings.clock_time, 730, "a time of day such as 07:30"),
        (urls.http_url, "host/v1", "a URL such as https://host/v1, without user name, query or fragment"),
        (urls.http_url, "ftp://host", "a URL such as https://host/v1, without user name, query or fragment"),
        (urls.http_url, "https://me:secret@host/v1", "a URL such as https://host/v1, without user name"),
        (urls.http_url, "https://host/v1?key=1", "a URL such as https://host/v1"),
        (urls.http_url, "https://host/v1#top", "a URL such as https://host/v1"),
        (urls.http_url, "https://host:port/v1", "a URL such as https://host/v1"),
        (urls.http_url, "https://host:99999/v1", "a URL such as https://host/v1"),
        (urls.http_url, "https://:8000/v1", "a URL such as https://host/v1"),
        (urls.http_url, "https://[::1/v1", "a URL such as https://host/v1"),
        (settings.header_text, "team/project\n", "a string without line breaks"),
        (settings.header_text, "müller/project", "a string of ASCII letters: no HTTP header takes ü"),
        (settings.header_text, "日本/project", "a string of ASCII letters: no HTTP header takes 日"),
        (settings.header_text, "team\r\nX-Evil: 1", "a string without line breaks"),
        (
            settings.booked_project,
            "inference",
            "TEAM/PROJECT, such as my-team/my-project; or leave it out and set WANDB_E",
        ),
        (settings.booked_project, "a/b/c", "TEAM/PROJECT, such as my-team/my-project"),
        (settings.booked_project, "müller/project", "a string of ASCII letters: no HTTP header takes ü"),
        (settings.table, [1], "a table"),
    ],
)
def test_a_check_says_what_the_value_must_be(check: settings.Check, value: Any, must: str) -> None:
    """The message states the cure."""
    with pytest.raises(ValueError) as caught:
        check(value)
    assert str(caught.value).startswith(f"must be {must}")
