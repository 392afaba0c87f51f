"""A damaged run: the damage is reported, nothing is sent, and after salvage only lost rows are sent again."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.damage import DAMAGES, PAGE, damage, root_of
from harness.prompts import results, write_prompts

from batchrun import open_run
from batchrun.errors import RunDirectoryError

CHECKPOINT = Path("out/checkpoint.sqlite")
KEPT = Path("out/damaged.checkpoint.sqlite")
ROWS = 240
"""So many that half of the file has some of them: the first pages of all tables come before the rows."""


@pytest.fixture
def finished(run: Any, endpoint: Any) -> list[dict[str, Any]]:
    """The results of a finished run."""
    assert run(write_prompts(*(f"{row} " * (1 + row % 50) for row in range(ROWS)))).code == 0
    assert endpoint.stats.received == ROWS
    return results()


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("row", "custom_id", "prompt", "model", "response", "status")} for row in rows]


def destroy(*tables: str) -> None:
    """Overwrite the first pages of tables with noise."""
    data = bytearray(CHECKPOINT.read_bytes())
    for number in [root_of(CHECKPOINT, table) for table in tables]:
        data[(number - 1) * PAGE : number * PAGE] = b"?" * PAGE
    CHECKPOINT.write_bytes(data)


@pytest.mark.parametrize("kind", DAMAGES)
def test_after_salvage_only_the_lost_rows_are_sent_again(
    run: Any, batchrun: Any, endpoint: Any, finished: Any, kind: str
) -> None:
    """Each message says what to do next."""
    damage(CHECKPOINT, kind, Random(kind))
    damaged = CHECKPOINT.read_bytes()
    done = run("in.jsonl")
    assert done.code == 3
    assert "out/checkpoint.sqlite: is damaged" in done.stderr
    assert "batchrun export out --salvage" in done.stderr
    assert endpoint.stats.received == ROWS
    assert CHECKPOINT.read_bytes() == damaged

    done = batchrun("export", "out", "--salvage")
    assert done.code == 0, done
    assert "settled rows recovered" in done.stderr
    assert KEPT.read_bytes() == damaged
    assert pq.read_table("out/before-salvage.results.parquet").to_pylist() == finished
    recovered = results()
    assert 0 < len(recovered) <= ROWS
    assert f"{len(recovered):,} settled rows recovered" in done.stderr
    assert ("they may contain answers that could not be recovered" in done.stderr) == (len(recovered) < ROWS)
    if lost := ROWS - len(recovered):
        assert f"{lost} settled row{'' if lost == 1 else 's'} lost" in done.stderr
        assert "again only when you run the job again" in done.stderr
    else:
        assert "no settled row is lost" in done.stderr
    if "its job is lost" not in done.stderr:
        done = batchrun("status", "out")
        rows = "1 row is" if lost == 1 else f"{lost} rows are"
        left = f"the checkpoint was salvaged; {rows} left; run the same command again to resume"
        assert (left in done.stdout) == (lost > 0)

    done = run("in.jsonl")
    assert done.code == 0, done
    assert "the checkpoint was salvaged: reading the whole input to see which answers still fit" in done.stderr
    assert f"the checkpoint was salvaged: {len(recovered)} rows kept, {lost} to send" in done.stderr
    assert endpoint.stats.received == 2 * ROWS - len(recovered)
    assert without_times(results()) == without_times(finished)
    assert run("in.jsonl").code == 0
    assert endpoint.stats.received == 2 * ROWS - len(recovered)
    assert batchrun("status", "out").code == 0


@pytest.mark.parametrize("command", ["export", "status"])
def test_export_and_status_name_the_cure(batchrun: Any, finished: Any, command: str) -> None:
    """They do not change existing results."""
    damage(CHECKPOINT, "noise in the header", Random(1))
    done = batchrun(command, "out")
    assert done.code == 3
    assert "out/checkpoint.sqlite: is damaged" in done.stderr
    assert "batchrun export out --salvage" in done.stderr
    assert results() == finished


@pytest.mark.parametrize(
    ("words", "lose"), [("is empty", lambda: CHECKPOINT.write_bytes(b"")), ("is gone", CHECKPOINT.unlink)]
)
def test_a_lost_checkpoint_is_not_bought_again_unasked(
    run: Any, endpoint: Any, finished: Any, words: str, lose: Callable[[], Any]
) -> None:
    """Its run looks as if it had never begun; run.json shows that it had."""
    lose()
    done = run("in.jsonl")
    assert done.code == 3
    assert f"out/checkpoint.sqlite: {words}, and with it the answers of {ROWS} settled rows" in done.stderr
    assert endpoint.stats.received == ROWS
    assert results() == finished
    assert run("in.jsonl", "--restart").code == 0
    assert endpoint.stats.received == 2 * ROWS
    assert without_times(results()) == without_times(finished)


@pytest.mark.parametrize("is_empty", [False, True], ids=["gone", "empty"])
def test_every_command_says_what_is_left_of_a_run_whose_checkpoint_is_lost(
    batchrun: Any, finished: Any, is_empty: bool
) -> None:
    """Not that there is no run: somebody would begin another one in its place."""
    CHECKPOINT.unlink()
    if is_empty:
        CHECKPOINT.touch()
    left = f"out/checkpoint.sqlite: is {'empty' if is_empty else 'gone'}; run.json counts {ROWS} settled rows; "
    cure = "put it back from a copy, or run the job again with --restart: it sends all rows again"
    commands = [(name,) for name in ("status", "watch", "show", "export", "report", "compare", "publish")]
    for command, *flags in [*commands, *([] if is_empty else [("export", "--salvage")])]:
        done = batchrun(command, "out", *flags)
        assert (done.code, left + cure in done.stderr) == (3, True), (command, done.stderr)
    with pytest.raises(RunDirectoryError) as raised:
        _ = open_run("out").summary
    assert left in str(raised.value)


@pytest.mark.parametrize("table", ["models", "sqlite_autoindex_models_1"])
def test_a_letter_that_changed_in_the_name_of_a_model_is_noticed(
    run: Any, batchrun: Any, endpoint: Any, finished: Any, table: str
) -> None:
    """It stands in each row of the results. The name is stored twice, so salvage finds the right one."""
    data = bytearray(CHECKPOINT.read_bytes())
    start = (root_of(CHECKPOINT, table) - 1) * PAGE
    data[data.index(b"Llama", start, start + PAGE)] ^= 1
    CHECKPOINT.write_bytes(data)
    for done in (batchrun("export", "out"), run("in.jsonl")):
        assert done.code == 3
        assert "the name of a model changed on the disk" in done.stderr
    assert results() == finished
    assert batchrun("export", "out", "--salvage").code == 0
    assert results() == finished
    assert run("in.jsonl").code == 0
    assert endpoint.stats.received == ROWS


def test_if_the_job_is_lost_no_answer_is_lost(run: Any, batchrun: Any, endpoint: Any, finished: Any) -> None:
    """The answers have no input columns until the job runs again and assigns them to its rows."""
    destroy("facts", "models", "sqlite_autoindex_models_1", "totals")
    done = batchrun("export", "out", "--salvage")
    assert done.code == 0
    assert "how many there were is not known" in done.stderr
    assert "no row is missing before the last that was recovered" in done.stderr
    assert "its job is lost; run the job again" in done.stderr
    assert [row["response"] for row in results()] == [row["response"] for row in finished]
    assert "prompt" not in results()[0]
    assert results()[0]["cost_usd"] is None
    done = batchrun("status", "out")
    assert done.code == 3
    assert "its job was lost; run the job again" in done.stderr
    assert run("in.jsonl").code == 0
    assert endpoint.stats.received == ROWS
    assert without_times(results()) == without_times(finished)


def test_rows_over_standard_input_are_salvaged_too(run: Any, batchrun: Any, endpoint: Any) -> None:
    """If the same rows are piped in again, only the lost ones are sent."""
    lines = b"".join(b'{"prompt": "%d"}\n' % row for row in range(ROWS))
    run("-", stdin=lines)
    before = results()
    damage(CHECKPOINT, "pages of noise", Random(4))
    assert batchrun("export", "out", "--salvage").code == 0
    lost = ROWS - len(results())
    assert lost > 0
    assert run("-", stdin=lines).code == 0
    assert endpoint.stats.received == ROWS + lost
    assert without_times(results()) == without_times(before)


def test_answers_with_wrong_row_numbers_are_assigned_to_their_rows(
    run: Any, batchrun: Any, endpoint: Any, finished: Any
) -> None:
    """Until then, no answer is shown in the row of another prompt."""
    with sqlite3.connect(CHECKPOINT) as connection:
        connection.execute(
            "UPDATE outcomes SET id = id + (1 << 34) WHERE id >> 24 < 10"
        )  # every answer has the number of another row
        connection.execute("UPDATE outcomes SET id = ((9 - ((id - (1 << 34)) >> 24)) << 24) WHERE id >= 1 << 34")
    connection.close()
    destroy("limits")
    done = batchrun("export", "out", "--salvage")
    assert "without the input's columns: the input has changed since the run; run the job again" in done.stderr
    assert run("in.jsonl").code == 0
    assert endpoint.stats.received == ROWS
    assert without_times(results()) == without_times(finished)


@pytest.mark.parametrize(
    ("settings", "moved"),
    [
        ([], "id = (239 << 24) + (16 << 24) WHERE id >> 24 = 239"),
        ([], "id = id + 1 WHERE id >> 24 = 50"),
        ([], "id = id + (1 << 16) WHERE id >> 24 = 50"),
        (["--num-samples", "2"], "id = id + 2 WHERE id >> 24 = 50 AND id & 1"),
    ],
    ids=["row", "sample", "model", "sample of several"],
)
def test_an_answer_whose_number_changed_gets_its_place_back_and_nothing_is_sent(
    run: Any, endpoint: Any, settings: list[str], moved: str
) -> None:
    """These numbers are in order, and as many as before: nothing else notices them."""
    assert run(write_prompts(*map(str, range(ROWS))), *settings).code == 0
    received, before = endpoint.stats.received, results()
    with closing(sqlite3.connect(CHECKPOINT)) as connection, connection:
        assert connection.execute(f"UPDATE outcomes SET {moved}").rowcount == 1
    done = run("in.jsonl", *settings)
    assert done.code == 0
    assert "the number of an answer changed on the disk: reading the whole input" in done.stderr
    assert endpoint.stats.received == received
    assert results() == before
    assert "the number of an answer" not in run("in.jsonl", *settings).stderr


def test_an_export_names_an_answer_with_a_sample_that_the_job_does_not_have(
    run: Any, batchrun: Any, finished: Any
) -> None:
    with closing(sqlite3.connect(CHECKPOINT)) as connection, connection:
        connection.execute("UPDATE outcomes SET id = id + 1 WHERE id >> 24 = 50")
    assert "the number of a sample that the job does not have; run the job again" in batchrun("export", "out").stderr
    assert run("in.jsonl").code == 0
    assert results() == finished
    assert not batchrun("export", "out").stderr.count("the job does not have")


def test_a_letter_that_changed_in_an_answer_is_noticed_and_its_row_alone_is_sent_again(
    run: Any, batchrun: Any, endpoint: Any, finished: Any
) -> None:
    """The export names the row and leaves the results as they were; so does the salvage, which leaves it out."""
    with closing(sqlite3.connect(CHECKPOINT)) as connection:
        (body,) = connection.execute("SELECT body FROM outcomes WHERE id >> 24 = 17").fetchone()
    response = str(finished[17]["response"]).encode()
    assert body.count(response) == 1
    data = CHECKPOINT.read_bytes()
    at = data.index(body) + body.index(response) + 3
    CHECKPOINT.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])

    done = batchrun("export", "out")
    assert done.code == 3
    assert "the answer of row 17 changed on the disk: the checksum is wrong" in done.stderr
    assert results() == finished
    kept = Path("out/results.parquet").rename("kept.parquet")  # with them, nothing else has to be read
    done = batchrun("show", "out", "-n", "1000")
    assert (done.code, len(done.stdout.splitlines())) == (0, ROWS - 1 + 3)  # two lines of head, and the count
    done = batchrun("report", "out")
    assert done.code == 0
    assert "note: the answer of row 17 changed on the disk: the checksum is wrong; left out here" in done.stderr
    assert "the answer of row 17 changed on the disk" in Path("out/report.html").read_text()
    kept.rename("out/results.parquet")
    done = batchrun("export", "out", "--salvage")
    assert done.code == 0, done
    assert f"{ROWS - 1} settled rows recovered of {ROWS}" in done.stderr
    assert "note: the answer of row 17 changed on the disk: the checksum is wrong; left out" in done.stderr
    assert run("in.jsonl").code == 0
    assert endpoint.stats.received == ROWS + 1
    assert without_times(results()) == without_times(finished)


@pytest.mark.parametrize("fact", ["job", "version", "begun"])
def test_a_letter_that_changed_in_a_fact_is_noticed_and_what_it_says_is_left_out(
    run: Any, batchrun: Any, endpoint: Any, finished: Any, fact: str
) -> None:
    """A price, a path, the name of a model: whatever command reads the run names the fact. No row is lost by it."""
    with closing(sqlite3.connect(CHECKPOINT, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE facts SET value = substr(value, 1, 3) || 'x' || substr(value, 5) WHERE name = ?", (fact,)
        )
    for done in (batchrun("export", "out"), batchrun("status", "out"), batchrun("show", "out"), run("in.jsonl")):
        assert done.code == 3
        assert f"(the fact {fact} (" in done.stderr
        assert "changed on the disk: the checksum is wrong)" in done.stderr
        assert "recover what is readable: batchrun export out --salvage" in done.stderr
    done = batchrun("export", "out", "--salvage")
    assert done.code == 0
    assert f"{ROWS} settled rows recovered of {ROWS}" in done.stderr
    assert f"left out, because it changed on the disk or is lost: the fact {fact} (" in done.stderr
    assert "note: the earlier results are kept as out/before-salvage.results.parquet\n" in done.stderr
    assert run("in.jsonl").code == 0
    assert endpoint.stats.received == ROWS
    assert without_times(results()) == without_times(finished)


def test_damage_that_the_first_check_misses_stops_the_run_before_it_sends(
    run: Any, endpoint: Any, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found when the rows are read: exit code 3, and the message has the cure."""
    write_prompts(*(f"{row} " * (1 + row % 50) for row in range(ROWS)), "one more")
    data = bytearray(CHECKPOINT.read_bytes())
    data[len(data) // 2 // PAGE * PAGE :][:PAGE] = b""
    middle = len(data) // 2 // PAGE * PAGE
    data[middle : middle + PAGE] = bytes(PAGE)
    CHECKPOINT.write_bytes(data)
    monkeypatch.setattr("batchrun.checkpoint.store.examine", lambda path: None)
    done = run("in.jsonl")
    assert done.code == 3
    assert "batchrun export out --salvage" in done.stderr
    assert endpoint.stats.received == ROWS


def test_salvage_of_an_undamaged_run_is_an_export(batchrun: Any, finished: Any) -> None:
    """Nothing else has to be done."""
    done = batchrun("export", "out", "--salvage")
    assert done.code == 0
    assert "the checkpoint is sound: nothing to salvage" in done.stderr
    assert not KEPT.exists()
    assert results() == finished


def test_a_checkpoint_without_any_data_stays_unchanged(run: Any, batchrun: Any, endpoint: Any) -> None:
    """With --restart, a new checkpoint is created and the old file is kept."""
    write_prompts("a")
    Path("out").mkdir()
    CHECKPOINT.write_text("my shopping list")
    done = batchrun("export", "out", "--salvage")
    assert done.code == 3
    assert "nothing can be recovered; it was not changed. Start again with --restart" in done.stderr
    assert CHECKPOINT.read_text() == "my shopping list"
    assert run("in.jsonl", "--restart").code == 0
    assert Path("out/before-restart.checkpoint.sqlite").read_text() == "my shopping list"
    assert endpoint.stats.received == 1


@pytest.mark.parametrize("command", [["export", "--salvage"], ["export"], ["status"]])
def test_a_newer_versions_checkpoint_is_not_touched(batchrun: Any, finished: Any, command: list[str]) -> None:
    """The cure is an upgrade."""
    with sqlite3.connect(CHECKPOINT) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = CHECKPOINT.read_bytes()
    done = batchrun(command[0], "out", *command[1:])
    assert done.code == 3
    assert "written by a newer batchrun" in done.stderr
    assert "run pip install . in a newer checkout" in done.stderr
    assert CHECKPOINT.read_bytes() == before


def test_a_folder_with_the_name_of_the_checkpoint_is_reported(run: Any, batchrun: Any, endpoint: Any) -> None:
    """The message has its name."""
    write_prompts("a")
    CHECKPOINT.mkdir(parents=True)
    for done in (run("in.jsonl"), batchrun("status", "out"), batchrun("export", "out")):
        assert done.code == 3
        assert "out/checkpoint.sqlite: cannot be read or written (it is a folder); use another -o DIR" in done.stderr
    assert endpoint.stats.received == 0


def test_with_the_checkpoint_of_another_job_the_run_asks_before_it_sends(
    run: Any, endpoint: Any, finished: Any
) -> None:
    """It may have been copied by mistake or intentionally. Rows with the same request keep their answer."""
    done = run(write_prompts(*(f"something else {row}" for row in range(ROWS))))
    assert done.code == 2
    assert f"{ROWS} of {ROWS} settled rows would leave the results and {ROWS} requests would be sent" in done.stderr
    assert endpoint.stats.received == ROWS
    assert results() == finished


def test_an_edited_job_with_standard_input_reads_its_rows_again(run: Any, endpoint: Any) -> None:
    """First to compare and then to send them: the run directory keeps the rows."""
    run("-", "-t", "Say {{ text }}", stdin=b'{"text": "a"}\n')
    done = run("-", "-t", "Shout {{ text }}", "--yes", stdin=b'{"text": "a"}\n{"text": "b"}\n{\n')
    assert done.code == 1, done
    assert [(row["status"], row["text"]) for row in results()] == [
        ("completed", "a"),
        ("completed", "b"),
        ("failed", None),
    ]
    assert endpoint.stats.received == 3
