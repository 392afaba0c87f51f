"""Datasets of the Hugging Face Hub as input and output, with its own libraries against a stand-in."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.prompts import results
from real.conftest import Batchrun
from real.environments import Environment
from real.servers import serving

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
TOKEN = "hf_canary"

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the stand-in serves as `hf://datasets/u/n`: two parts with images, as `datasets` writes them."""
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("---\n---\n")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {
        "photo": {"_type": "Image"},
        "other": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": ["a", "b"]},
    }
    columns = [("prompt", pa.string()), ("photo", image), ("other", image), ("label", pa.int64())]
    columns += [("tags", pa.list_(pa.string())), ("vector", pa.list_(pa.float32(), 2))]
    schema = pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
    for part in range(2):
        photo = {"bytes": PNG, "path": "a.png"}
        same = {"photo": photo, "other": photo, "label": 1, "tags": ["x"], "vector": [1, 2]}
        rows = [{"prompt": f"What is {part}.{row}?"} | same for row in range(20)]
        path = folder / f"data/train-0000{part}-of-00002.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema), path)
    stub = Path(__file__).with_name("hub_stub.py")
    with serving(lambda port: [sys.executable, str(stub), str(port), str(folder)], folder=tmp_path) as url:
        for name, value in {
            "ENDPOINT": url,
            "TOKEN": TOKEN,
            "HUB_DISABLE_XET": "1",
            "HUB_DISABLE_TELEMETRY": "1",
        }.items():
            monkeypatch.setenv(f"HF_{name}", value)
        yield folder


def test_the_answers_to_a_dataset_become_a_dataset(
    installed: Callable[[str], Environment], batchrun: Batchrun, dataset: Path
) -> None:
    """With its images; a second run sends nothing; `datasets` opens the results, image columns as images."""
    python = installed("hf").python
    Path("job.toml").write_text(
        '[input]\npath = "hf://datasets/u/n/data"\n[prompt]\nimages = "photo"\n'
        f'[model]\nname = "{MODEL}"\n[output]\ndir = "out"\nupload = "hf://datasets/u/n/answers"\n'
    )
    first = batchrun("run", "job.toml", "--simulate", "--json", python=python)
    assert (first.code, first.json["completed"]) == (0, 40), first.stderr
    again = batchrun("run", "job.toml", "--simulate", "--json", python=python)
    assert (again.code, again.json["attempts"]) == (0, 40), again.stderr
    assert [row["prompt"] for row in results()] == [f"What is {part}.{row}?" for part in range(2) for row in range(20)]
    card = batchrun("export", "out", "--card", python=python)
    assert card.code == 0, card.stderr
    names = {"results.parquet", "usage.parquet", "run.json", "README.md"}
    assert {path.name for path in (dataset / "answers").iterdir()} == names
    for name in names:
        content = (dataset / "answers" / name).read_bytes()
        assert content == Path("out", name).read_bytes()
        assert TOKEN.encode() not in content
    assert opened(python, str(dataset / "answers")) == {
        "rows": 40,
        "photo": "Image(mode=None, decode=True)",
        "other": "Image(mode=None, decode=True)",
        "label": "ClassLabel(names=['a', 'b'])",
        "vector": "List(Value('float32'), length=2)",
        "finished_at": "Value('timestamp[ms, tz=UTC]')",
    }
    assert opened(python, "parquet", "out/results.parquet")["photo"].startswith("{'bytes': Value('binary')")


def test_a_card_at_the_root_of_a_dataset_is_checked_by_the_hub(
    installed: Callable[[str], Environment], batchrun: Batchrun, dataset: Path
) -> None:
    """The Hub's library has the card's front matter checked before the commit."""
    python = installed("hf").python
    done = batchrun("run", "hf://datasets/u/n/data", "-m", MODEL, "-o", "out", "--simulate", python=python)
    assert done.code == 0, done.stderr
    done = batchrun("export", "out", "--card", "--upload", "hf://datasets/u/n", python=python)
    assert done.code == 0, done.stderr
    assert (dataset / "README.md").read_bytes() == Path("out/README.md").read_bytes()
    assert opened(python, str(dataset))["rows"] == 40


def opened(python: str, *arguments: str) -> dict[str, Any]:
    """Return the number of rows and some features of files, as `datasets` reads them."""
    script = """
import json
import sys
from datasets import load_dataset
rows = load_dataset(*sys.argv[1:2], **({"data_files": sys.argv[2]} if sys.argv[2:] else {}))["train"]
names = ("photo", "other", "label", "vector", "finished_at")
print(json.dumps({"rows": len(rows)} | {name: str(rows.features[name]) for name in names}))
"""
    command = [python, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def test_a_missing_dataset_is_refused(
    installed: Callable[[str], Environment], batchrun: Batchrun, dataset: Path
) -> None:
    """With one line, as for a missing file."""
    done = batchrun("run", "hf://datasets/u/none", "-m", MODEL, "--simulate", python=installed("hf").python)
    assert (done.code, done.stderr) == (2, "batchrun: hf://datasets/u/none: there is nothing\n")
