import time
from datetime import datetime

import pytest

from batchrun.engine.batches.notices import Notices, rest_text


def test_each_notice_is_given_once_and_none_where_nothing_is_sent() -> None:
    shown: list[str] = []
    notices = Notices(shown.append, 60.0, lambda: 0.0)
    notices.going_on(0, is_ending=False)
    assert shown == []
    notices.going_on(2, is_ending=False)
    notices.new_batch("sending in batches")
    notices.new_batch("sending in batches")
    assert shown[0] == "going on with 2 batches of earlier executions"
    assert shown[1].endswith(", in 1 min 00 s, is sent as ordinary requests, at the usual price")
    assert shown[2:] == ["sending in batches"]


def test_what_is_cancelled_or_late_is_not_announced_as_to_come() -> None:
    shown: list[str] = []
    Notices(shown.append, 60.0, lambda: 0.0).going_on(1, is_ending=True)
    Notices(shown.append, 60.0, lambda: 60.0).new_batch("sending in batches")
    assert shown == ["going on with 1 batch of earlier executions", "sending in batches"]


def test_a_time_of_day_that_has_passed_is_announced_as_tomorrows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    now_s, at_s = (datetime.fromisoformat(f"2026-06-0{each}:00:00+00:00").timestamp() for each in ("1T09", "2T06"))
    assert rest_text(at_s, now_s) == (
        "what no batch has answered by 06:00 tomorrow, in 21 h 00 min, is sent as ordinary requests, at the usual price"
    )
    monkeypatch.undo()
    time.tzset()
