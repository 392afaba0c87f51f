"""The report of a run, as a notebook shows it: the whole page in a frame of its own."""

from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A report that was written."""

    path: Path
    """Of report.html."""

    def _repr_html_(self) -> str:
        """Return the page inside of a frame, which may run the page's own script and nothing else."""
        page = escape(self.path.read_text(encoding="utf-8"), quote=True)
        style = "width: 100%; height: 45em; border: 1px solid #ccc"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{page}"></iframe>'
