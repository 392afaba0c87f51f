"""The two pictures of the README, from a real run against the simulator: `python tests/harness/screenshots.py`.

Needs Chromium. `docs/bar.svg` is a terminal in the middle of the run, `docs/report.png` the first screen of its report.
"""

import html
import itertools
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).parents[2]

JOB = """
[input]
path = "reviews.jsonl"
[prompt]
user = "{{ product }}, {{ stars }} of 5 stars: {{ text }}"
[model]
names = ["meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b"]
max_tokens = 200
[limits]
max_cost_usd = 5
[response.schema]
type = "object"
required = ["label", "certain"]
properties.label = { enum = ["positive", "negative", "neutral", "mixed"] }
properties.certain = { type = "boolean" }
[evaluate]
target = "gold"
scorer = "json_field"
field = "label"
"""

COPIES = 40
"""Number of copies of the reviews in `jobs/data`: some thousand rows, half a minute."""

SHOWN_AT = 0.6
"""Progress of the run in the picture of the bar."""

COLUMNS, CHAR_PX, LINE_PX = 132, 7.2, 18


def main() -> None:
    """Make both."""
    with tempfile.TemporaryDirectory() as folder:
        _write_job(Path(folder))
        frames = _run_in_terminal(Path(folder))
        (ROOT / "docs" / "bar.svg").write_text(svg_of(frames), encoding="utf-8")
        subprocess.run([sys.executable, "-m", "batchrun", "report", "runs/reviews"], cwd=folder, check=True)
        _photograph(Path(folder, "runs/reviews/report.html"), ROOT / "docs" / "report.png")


def _write_job(folder: Path) -> None:
    rows = [json.loads(line) for line in (ROOT / "jobs/data/reviews.jsonl").read_text().splitlines()]
    golds = {1: "negative", 2: "mixed", 3: "neutral", 4: "positive", 5: "positive"}
    lines = [
        json.dumps(row | {"id": f"{row['id']}-{copy}", "text": f"{row['text']} ({copy})", "gold": golds[row["stars"]]})
        for copy in range(COPIES)
        for row in rows
    ]
    (folder / "reviews.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "reviews.toml").write_text(JOB, encoding="utf-8")


def _run_in_terminal(folder: Path) -> list[str]:
    """Run the job in a terminal; return its lines at the time of the picture."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "batchrun", "run", "reviews.toml", "--simulate"]
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65_536)
            except OSError:  # Linux: the other end is closed
                break
        assert process.wait() == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", seen.decode())
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if "\r" not in line and line]
    bars = [frame for frame in text.split("\r") if "%|" in frame]
    bar = next(frame for frame in bars if int(frame.split("%")[0]) >= SHOWN_AT * 100)
    before = itertools.takewhile(lambda line: not line.startswith("done "), lines)
    return ["$ batchrun run reviews.toml --simulate", *before, bar.strip()]


def svg_of(lines: list[str]) -> str:
    """Return lines of a terminal as a picture."""
    width, height = round(COLUMNS * CHAR_PX) + 24, len(lines) * LINE_PX + 24
    texts = "\n".join(
        f'<text x="12" y="{24 + number * LINE_PX}" xml:space="preserve">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    style = "text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d6deeb}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f"<style>{style}</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#0f1720"/>\n{texts}\n</svg>\n'
    )


def _photograph(page: Path, picture: Path) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("needs Chromium; on Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,955"]
        command = [chromium, *flags, f"--user-data-dir={folder}", f"--screenshot={picture}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
