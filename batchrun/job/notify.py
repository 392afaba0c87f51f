"""`[notify]`: who hears of the run."""

from dataclasses import InitVar, dataclass
from typing import Any

from batchrun.job.field_types import Seconds, Texts
from batchrun.job.settings import Section, SettingError, alias, duration_s, setting, texts

_AFTER_PAUSE_S = 900.0
"""An endpoint that is back after a quarter of an hour needs nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Section):
    """`[notify]`: messages about the run, by mail, Slack, ntfy, a webhook or any other service that Apprise knows."""

    url_env: Texts = setting(
        (), "environment variables that hold Apprise URLs; the URLs themselves are secrets and stay out of files", texts
    )
    after_pause_s: Seconds = setting(
        _AFTER_PAUSE_S, "after how long in one pause a message is sent too", duration_s, key="after_pause", shown="15m"
    )
    after_pause: InitVar[float | str | None] = alias("after_pause_s")

    def __post_init__(self, *aliases: Any) -> None:
        super(Notify, self).__post_init__(*aliases)
        if self.after_pause_s != _AFTER_PAUSE_S and not self.url_env:
            raise SettingError("after_pause", self.after_pause_s, "needs url_env, which is not set")
