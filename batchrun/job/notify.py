"""`[notify]`: who hears of the run."""

from dataclasses import dataclass

from batchrun.job.settings import Section, duration_s, setting, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Section):
    """`[notify]`: messages about the run, by mail, Slack, ntfy, a webhook or any other service that Apprise knows."""

    url_env: tuple[str, ...] = setting(
        (), "environment variables that hold Apprise URLs; the URLs themselves are secrets and stay out of files", texts
    )
    after_pause_s: float = setting(
        900.0, "after how long in one pause a message is sent too", duration_s, key="after_pause", shown="15m"
    )
