"""A command does not import pandas, unless the user's own code does."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SPARED = "import sys; from batchrun.cli.pandas_import import spare_pandas; spare_pandas()\n"

ARRAY = "from batchrun.prompts.input.types import type_of; type_of([1, 2]); print('pandas' in sys.modules)\n"

USED = """import pyarrow as pa, pandas as pd
frame = pa.table({'a': [1, None]}).to_pandas()
pd.DataFrame({'a': [1]}).to_parquet('a.parquet')
print(frame.a.sum(), pd.read_parquet('a.parquet').a[0], pa.array(pd.Series([3])).to_pylist())
"""


def test_arrays_are_made_without_it(tmp_path: Path) -> None:
    """Without this, pyarrow would import it."""
    assert run(SPARED + ARRAY, tmp_path) == "False"
    assert run("import sys\n" + ARRAY, tmp_path) == "True"


COMPUTED = """exec("import pyarrow.compute as pc; pc.add(1, 2)", {"__name__": "batchrun.any"})
print('pandas' in sys.modules)
"""
"""pyarrow's Python code stands between batchrun's and the import."""


def test_arrays_are_computed_without_it(tmp_path: Path) -> None:
    assert run(SPARED + COMPUTED, tmp_path) == "False"


@pytest.mark.slow
def test_code_that_uses_it_finds_it_before_and_after(tmp_path: Path) -> None:
    assert run(SPARED + ARRAY + USED, tmp_path) == "False\n1.0 1 [3]"
    assert run(SPARED + USED, tmp_path) == "1.0 1 [3]"
