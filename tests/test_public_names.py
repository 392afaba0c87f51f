"""The names that `import batchrun` offers."""

import ast
import inspect
import subprocess
import sys

import pytest

import batchrun
from batchrun.job.sections import SECTIONS, Price


def typed_names() -> dict[str, str]:
    """Return public name → module, as the TYPE_CHECKING block of the package gives them to type checkers."""
    tree = ast.parse(inspect.getsource(batchrun))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or "": node.module or "" for node in imports for alias in node.names}


def test_type_checkers_see_exactly_the_public_names() -> None:
    """Each of them is importable, and comes from the module that the type checker looks into."""
    assert {*typed_names(), "__version__"} == set(batchrun.__all__)
    for name, module in typed_names().items():
        assert getattr(batchrun, name) is getattr(sys.modules[module], name)


@pytest.mark.parametrize("section", [*SECTIONS.values(), Price])
def test_every_section_of_a_job_file_has_a_public_class(section: type) -> None:
    """A job can be written in Python without imports from inside."""
    assert getattr(batchrun, section.__name__) is section


def test_a_star_import_brings_every_public_name() -> None:
    """In a fresh process, where nothing has been imported before."""
    code = "from batchrun import *; print(Summary.__name__, Publish.__name__, run.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Summary Publish run\n", "")


def test_dir_lists_the_public_names_before_they_are_used() -> None:
    """Notebooks complete from it. Listing imports nothing heavy."""
    code = "import sys, batchrun; names = dir(batchrun); print('pyarrow' in sys.modules, *names)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", *batchrun.__all__]


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Sumary'"):
        _ = batchrun.Sumary  # type: ignore[attr-defined]  # that is the test
