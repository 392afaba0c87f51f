"""Input that is not in UTF-8."""

from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results


def test_a_file_in_another_encoding_is_read_where_it_is_named(run: Any) -> None:
    """Naming another encoding later asks other prompts; the job file and the flag say the same."""
    Path("in.csv").write_bytes("text;day\nGrüße;Fr\n".encode("cp1252"))
    assert run("in.csv", "-t", "{{ text }}", "--encoding", "cp850").code == 0
    assert results()[0]["text"] == "Gr³▀e"
    asked = '[prompt]\nuser = "{{ text }}"\n[model]\n[output]\ndir = "out"\n'
    Path("job.toml").write_text(f'[input]\npath = "in.csv"\nencoding = "windows-1252"\n{asked}', encoding="utf-8")
    done = run("job.toml", "--yes")
    assert done.code == 0, done.stderr
    assert [(row["text"], row["attempts"]) for row in results()] == [("Grüße", 1)]


def test_a_wrong_name_is_refused_with_the_nearest(run: Any) -> None:
    Path("in.txt").write_text("a\n", encoding="utf-8")
    done = run("in.txt", "--encoding", "utf-61")
    assert done.code == 2
    assert '--encoding = "utf-61"; must be an encoding' in done.stderr
    assert "did you mean utf-16?" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_text_without_the_mark_that_its_encoding_needs_is_refused(run: Any, encoding: str) -> None:
    """The cure works where the text is in that encoding."""
    Path("in.csv").write_bytes("text\nGrüße\n".encode(f"{encoding}-le"))
    refused = run("in.csv", "-t", "{{ text }}", "--encoding", encoding)
    assert refused.code == 2
    assert f"in.csv: cannot be read: it is not {encoding}: " in refused.stderr
    assert refused.stderr.rstrip().endswith(f"as in --encoding {encoding}-le")
    assert run("in.csv", "-t", "{{ text }}", "--encoding", f"{encoding}-le").code == 0
    assert results()[0]["text"] == "Grüße"
