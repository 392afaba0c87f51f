import orjson
import pytest

from batchrun.simulator import Settings
from batchrun.simulator.batches.checks import checked

PATH = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"custom_id": ""}, "missing_required_parameter"),
        ({"custom_id": "first"}, "duplicate_custom_id"),
        ({"method": "GET"}, "invalid_method"),
        ({"url": "/v1/embeddings"}, "url_mismatch"),
        ({"body": {"model": "none"}}, "model_not_found"),
        ({"body": {"model": "small", "stream": True}}, "invalid_request"),
        ({"body": {"model": "large"}}, "model_mismatch"),
        ({"body": {}}, "missing_required_parameter"),
    ],
)
def test_each_problem_is_reported_with_its_line(line, change, code):
    """Lines are counted from 1; sound lines before it are read."""
    first = line("first", model="small")
    second = orjson.dumps(orjson.loads(line("second", model="small")) | change)
    read = checked(b"\n".join([first, second]), PATH, Settings(models=("small", "large")))
    assert [(each["code"], each["line"]) for each in read.problems] == [(code, 2)]
    assert [each.custom_id for each in read.lines] == ["first"]


def test_empty_files_long_files_and_lines_that_are_not_json_are_reported(line):
    codes = [
        [each["code"] for each in checked(content, PATH, Settings(batch_requests=1)).problems]
        for content in (b"", b"{", line("a") + b"\n" + line("b"))
    ]
    assert codes == [["empty_batch"], ["invalid_json_line"], ["too_many_tasks"]]
