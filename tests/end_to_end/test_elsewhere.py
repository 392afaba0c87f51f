"""Input from a store, results uploaded to it, and the dataset card. The store is a local folder."""

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import results, write_rows
from harness.web import serving_files
from pyarrow import fs as arrow

from batchrun.storage import objects
from batchrun.storage.remote import Found
from batchrun.storage.urls import Place

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

MODEL = "meta-llama/Llama-3.1-8B-Instruct"

UPLOADED = {"results.parquet", "usage.parquet", "run.json"}


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that acts as the bucket `s3://bkt/`."""
    folder = tmp_path / "store" / "bkt"
    folder.mkdir(parents=True)
    (folder / "out").mkdir()
    system = arrow.SubTreeFileSystem(str(folder.parent), arrow.LocalFileSystem())
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (system, host))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_reads_from_a_bucket_and_uploads_its_results(run: Any, batchrun: Any, bucket: Path) -> None:
    """A second run sends nothing. The checkpoint is not uploaded; a report and a card are, if they exist."""
    write_rows(str(bucket / "in/a.jsonl"), {"prompt": "a"}, {"prompt": "b"})
    first = run("s3://bkt/in/*.jsonl", "--upload", "s3://bkt/out", "--json")
    assert (first.code, [row["prompt"] for row in results()]) == (0, ["a", "b"])
    assert names(bucket / "out") == UPLOADED
    assert (bucket / "out/results.parquet").read_bytes() == Path("out/results.parquet").read_bytes()
    assert json.loads((bucket / "out/run.json").read_bytes())["state"] == "completed"
    again = run("s3://bkt/in/*.jsonl", "--upload", "s3://bkt/out", "--json")
    assert again.json["attempts"] == first.json["attempts"] == 2
    batchrun("report", "out")
    done = batchrun("export", "out", "--card")
    assert done.stderr.endswith("out/README.md\nuploaded to s3://bkt/out\n")
    assert names(bucket / "out") == {*UPLOADED, "report.html", "README.md"}
    (bucket / "out/report.html").unlink()
    run(write_rows("in.jsonl", {"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}), "--upload", "s3://bkt/out", "--yes")
    assert not (bucket / "out/report.html").exists(), "it is of the run before"


def test_an_object_that_cannot_be_read_is_refused_before_any_request(
    run: Any, bucket: Path, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 allows names with two slashes in a row. No row of the folder is sent, and none is left out silently."""
    write_rows(str(bucket / "in/a.jsonl"), {"prompt": "a"})
    files = objects.files

    def with_odd(place: Place, *, is_deep: bool) -> list[Found]:
        return [*files(place, is_deep=is_deep), Found(place.with_key("in//b.jsonl"), 1, "1")]

    monkeypatch.setattr(objects, "files", with_odd)
    done = run("s3://bkt/in")
    assert (done.code, "in//b.jsonl: has an empty name" in done.stderr) == (2, True), done.stderr
    assert endpoint.stats.received == 0


def test_the_signature_of_a_url_is_only_in_the_checkpoint(run: Any, batchrun: Any, bucket: Path) -> None:
    """Anyone can read a file with its presigned URL, so the URL is in no message and in no shared file."""
    with serving_files() as web:
        path = "/a.jsonl?X-Amz-Credential=id/SIGNED&X-Amz-Signature=SIGNED"
        web.files[path] = b'{"prompt": "a"}\n{"prompt": "b"}\nbroken\n'
        arguments = [web.url + path, "-m", MODEL, "--simulate", "--upload", "s3://bkt/out", "--json", "--verbose"]
        done = [batchrun("check", *arguments[:3])]
        done += [batchrun("run", *arguments[:-1]) for _ in range(2)]
        done += [batchrun("report", "runs/a"), batchrun("export", "runs/a", "--card")]
        web.files.clear()
        done += [batchrun("export", "runs/a"), batchrun("run", *arguments[:-1])]
    assert [each.code for each in done] == [0, 1, 1, 0, 0, 0, 2]
    assert f"{web.url}/a.jsonl?…: there is nothing" in done[-1].stderr
    for each in done:
        assert "SIGNED" not in each.stdout + each.stderr
    paths = [*Path("runs/a").iterdir(), *(bucket / "out").iterdir()]
    assert {"report.html", "README.md"} <= names(bucket / "out")
    holds = {path.name for path in paths if b"SIGNED" in path.read_bytes()}
    assert {name.partition("-")[0] for name in holds} == {"checkpoint.sqlite"}


def test_a_failed_upload_does_not_change_the_results(run: Any, batchrun: Any, bucket: Path, monkeypatch: Any) -> None:
    """Results and run.json are complete; the exit code shows that the upload is missing."""

    def fail(*_: object) -> None:
        raise OSError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "_put", fail)
        done = run(write_rows("in.jsonl", {"prompt": "a"}), "--upload", "s3://bkt/out", "--json")
    assert done.code == done.json["exit_code"] == 5
    cure = "they are safe in out; upload them again: batchrun export out"
    assert f"could not be uploaded to s3://bkt/out: the store is away; {cure}" in done.json["message"]
    assert orjson.loads(Path("out/run.json").read_bytes())["exit_code"] == 0
    assert names(bucket / "out") == set()
    assert batchrun("export", "out").code == 0
    assert names(bucket / "out") == UPLOADED


def test_if_the_bucket_is_missing_nothing_is_sent(run: Any, bucket: Path, endpoint: Any) -> None:
    """The bucket is checked before the first request."""
    before = endpoint.stats.totals()
    done = run(write_rows("in.jsonl", {"prompt": "a"}), "--upload", "s3://none/out")
    assert (done.code, "no such bucket" in done.stderr) == (2, True)
    assert endpoint.stats.totals() == before


@pytest.mark.parametrize("path", ["s3://bkt", "s3://bkt/", "s3://bkt/**/*.parquet", "s3://bkt/out"])
def test_results_are_not_uploaded_into_the_input_folder(run: Any, bucket: Path, path: str) -> None:
    """The next run would read them as rows and send them."""
    write_rows(str(bucket / "out/a.jsonl"), {"prompt": "a"})
    pq.write_table(pa.table({"prompt": ["a"]}), bucket / "out/a.parquet")
    done = run(path, "--upload", "s3://bkt/out/")
    assert (done.code, f"is inside the input {path}" in done.stderr) == (2, True), done.stderr
    assert run("s3://bkt/out/*.jsonl", "--upload", "s3://bkt/out/").code == 0


def test_an_export_uploads_the_files_that_it_wrote(run: Any, batchrun: Any, bucket: Path) -> None:
    """For every format, without older files. The message lists exactly the uploaded files."""
    run(write_rows("in.jsonl", {"prompt": "a"}))
    Path("out/results.parquet").write_bytes(b"of another time")
    assert batchrun("export", "out", "--format", "csv", "--upload", "s3://bkt/out").code == 0
    assert batchrun("export", "out", "--wide", "--upload", "s3://bkt/out").code == 0
    assert batchrun("export", "out", "--format", "openai", "--upload", "s3://bkt/out").code == 0
    openai = {path.name for path in Path("out").glob("*.openai.jsonl")}
    assert openai
    assert names(bucket / "out") == {"run.json", "results.csv", "results.wide.parquet", *openai}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/tmp/answers", "must be the URL of a store"),
        ("answers", "must be the URL of a store"),
        ("s3://none/out", "no such bucket"),
        ("s3://bkt/in", "is inside the input s3://bkt/in/*.csv"),
        ("s3://bkt/out//x", "has an empty name"),
        ("https://host/x", "cannot be uploaded to an HTTP server"),
    ],
)
def test_an_export_to_a_missing_bucket_is_refused_at_the_start(
    run: Any, batchrun: Any, bucket: Path, url: str, message: str
) -> None:
    """Nothing is written, as for a run."""
    (bucket / "in").mkdir()
    (bucket / "in/a.csv").write_text("prompt\na\n")
    run("s3://bkt/in/*.csv")
    done = batchrun("export", "out", "--format", "csv", "--upload", url)
    assert (done.code, message in done.stderr) == (2, True), done.stderr
    assert not Path("out/results.csv").exists()


def test_a_failed_upload_of_an_export_can_be_repeated_by_the_command_in_the_message(
    run: Any, batchrun: Any, bucket: Path, monkeypatch: Any
) -> None:
    """The command has the same place and the same format."""

    def fail(*_: object) -> None:
        raise OSError("the store is away")

    run(write_rows("in.jsonl", {"prompt": "a"}))
    monkeypatch.setattr(objects, "_put", fail)
    done = batchrun("export", "out", "--format", "csv", "--upload", "s3://bkt/out")
    assert done.code == 5
    assert done.stderr.endswith("upload them again: batchrun export out --format csv --upload s3://bkt/out\n")


def test_the_run_json_of_a_killed_run_is_not_uploaded(run: Any, batchrun: Any, bucket: Path) -> None:
    """It still has the state `running` and old counts."""
    run(write_rows("in.jsonl", {"prompt": "a"}))
    ended = orjson.loads(Path("out/run.json").read_bytes())
    Path("out/run.json").write_bytes(orjson.dumps(ended | {"state": "running", "rows": 0}))
    assert batchrun("export", "out", "--upload", "s3://bkt/out").code == 0
    assert names(bucket / "out") == UPLOADED - {"run.json"}


def test_export_uploads_to_the_place_of_the_flag(run: Any, batchrun: Any, bucket: Path) -> None:
    """The flag has precedence over the job; without both nothing is uploaded."""
    run(write_rows("in.jsonl", {"prompt": "a"}))
    batchrun("export", "out")
    assert names(bucket / "out") == set()
    batchrun("export", "out", "--upload", "s3://bkt/out")
    assert names(bucket / "out") == UPLOADED


@pytest.fixture
def dataset() -> str:
    """A folder of Parquet parts with images, as `datasets` writes them."""
    Path("data").mkdir()
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for part in range(2):
        rows = [{"prompt": f"What is {part}{row}?", "photo": {"bytes": PNG, "path": "a.png"}} for row in range(3)]
        schema = pa.schema([("prompt", pa.string()), ("photo", image), ("tags", pa.list_(pa.string()))])
        path = f"data/train-0000{part}-of-00002.parquet"
        pq.write_table(pa.Table.from_pylist([row | {"tags": ["x"]} for row in rows], schema), path)
    return "data"


def job_file(path: str, text: str) -> str:
    Path(path).write_text(text)
    return path


def test_the_card_describes_the_dataset(run: Any, batchrun: Any, dataset: str) -> None:
    """It has model, prompt, counts and cost as text, and the features for programs, with images as images."""
    job = f'[input]\npath = "{dataset}"\n[prompt]\nsystem = "Say `````no`````."\nimages = "photo"\n'
    prices = f'[prices."{MODEL}"]\ninput_usd_per_mtok = 1000\noutput_usd_per_mtok = 1000\n'
    run(job_file("look.toml", f'{job}[model]\nname = "{MODEL}"\nseed = 7\n{prices}'), model=None)
    assert batchrun("export", "out", "--card").code == 0
    text = Path("out/README.md").read_text()
    front = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    assert front is not None
    features = [json.loads(line.removeprefix("  - ")) for line in front[1].splitlines() if line.startswith("  - ")]
    assert [each["name"] for each in features] == pq.read_schema("out/results.parquet").names
    known = {each.pop("name"): each for each in features}
    assert (known["photo"], known["tags"]) == ({"dtype": "image"}, {"list": "string"})
    assert known["finished_at"] == {"dtype": "timestamp[ms, tz=UTC]"}
    assert '"path": "results.parquet"' in front[1]
    summary = orjson.loads(Path("out/run.json").read_bytes())
    assert summary["cost_usd"] > 0
    for line in (
        "# look",
        f"| model | {MODEL} |",
        '| parameters | {"seed":7} |',
        "| answers | 6: 6 completed, 0 failed |",
        f"| cost | {summary['cost_usd']:.4f} USD |",
        "``````text\nSay `````no`````.\n``````",
    ):
        assert line in front[2], line
    assert "simulator made these answers up" not in text
    assert "127.0.0.1" not in text


def test_the_card_keeps_the_features_of_the_input(run: Any, batchrun: Any) -> None:
    """Labels keep their names, other columns their type. A column of the answer with the same name has its own type."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    label = {"_type": "ClassLabel", "names": ["no", "yes"]}
    features = {
        "prompt": {"_type": "Value", "dtype": "string"},
        "photo": {"_type": "Image"},
        "label": label,
        "status": label,
    }
    features |= {"photos": {"_type": "List", "feature": {"_type": "Image"}}, "row": label, "gone": label}
    columns = [("prompt", pa.string()), ("photo", image), ("photos", pa.list_(image)), ("label", pa.int64())]
    columns += [("status", pa.int64()), ("row", pa.int64()), ("vector", pa.list_(pa.float32(), 2))]
    schema = pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
    photo = {"bytes": PNG, "path": "a.png"}
    row = {"prompt": "a", "photo": photo, "photos": [photo], "label": 1, "status": 0, "row": 1, "vector": [1, 2]}
    pq.write_table(pa.Table.from_pylist([row], schema), "in.parquet")
    run("in.parquet")
    batchrun("export", "out", "--card")
    lines = [line for line in Path("out/README.md").read_text().splitlines() if line.startswith("  - ")]
    known = {(each := json.loads(line.removeprefix("  - "))).pop("name"): each for line in lines}
    names = {"dtype": {"class_label": {"names": {"0": "no", "1": "yes"}}}}
    assert (known["photo"], known["photos"]) == ({"dtype": "image"}, {"list": "image"})
    assert (known["label"], known["input_status"], known["input_row"]) == (names, names, names)
    assert (known["status"], known["row"]) == ({"dtype": "string"}, {"dtype": "int64"})
    assert known["vector"] == {"list": "float32", "length": 2}


def test_a_card_has_no_features_if_a_type_is_unknown_to_datasets(run: Any, batchrun: Any) -> None:
    """For example a map. Without features, `datasets` detects the types itself."""
    table = pa.table({"prompt": ["a"], "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))})
    pq.write_table(table, "in.parquet")
    run("in.parquet")
    batchrun("export", "out", "--card")
    assert "dataset_info" not in Path("out/README.md").read_text()


def test_image_files_next_to_remote_input_fail_with_a_reason(run: Any, bucket: Path) -> None:
    """They are not fetched. Rows with images as URLs or bytes are sent."""
    rows = ({"prompt": "a", "photo": "pictures/a.png"}, {"prompt": "b", "photo": "https://host/b.png"})
    write_rows(str(bucket / "in/a.jsonl"), *rows)
    assert run("s3://bkt/in/a.jsonl", "--images", "photo").code == 1
    failed, completed = results()
    assert (completed["status"], failed["status"]) == ("completed", "failed")
    assert "photo: pictures/a.png is a path in s3://bkt/in; images are not fetched from there" in failed["error"]


def test_a_folder_of_the_hubs_cache_is_read_once(run: Any, dataset: str) -> None:
    """Its files are links to blobs without an ending."""
    cache = Path("datasets--u--n")
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots/abc/data").mkdir(parents=True)
    for number, part in enumerate(sorted(Path(dataset).iterdir())):
        shutil.copy(part, cache / f"blobs/{number}")
        (cache / "snapshots/abc/data" / part.name).symlink_to(f"../../../blobs/{number}")
    assert run(str(cache)).code == 0
    assert len(results()) == 6
