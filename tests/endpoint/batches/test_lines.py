import orjson
import pytest

from batchrun.endpoint.batches.lines import Place, label_of, line_of, place_of, read_line
from batchrun.records import Request

PLACE = Place(7, 1, 3)


def test_a_line_is_the_request_with_a_label_of_our_own() -> None:
    """The user's own label is not sent: two rows may have the same."""
    request = Request(7, "m", 3, bytes(16), b'{"model":"m","messages":[]}', "theirs")
    line = line_of(PLACE, request, request.body)
    assert line.endswith(b"\n")
    assert orjson.loads(line) == {
        "custom_id": "r7-m1-s3",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": []},
    }


def test_labels_lead_back_and_foreign_ones_do_not() -> None:
    assert place_of(label_of(PLACE)) == PLACE
    assert [place_of(label) for label in ("r7", "r7-m1-s3x", None, 5, "request-1")] == [None] * 5


def line(response: object, error: object = None, label: str = "r7-m1-s3") -> bytes:
    return orjson.dumps({"id": "batch_req_1", "custom_id": label, "response": response, "error": error})


@pytest.mark.parametrize(
    ("response", "error", "status", "body"),
    [
        ({"status_code": 200, "request_id": "x", "body": {"choices": []}}, None, 200, {"choices": []}),
        ({"status_code": 400, "body": {"error": {"message": "no"}}}, None, 400, {"error": {"message": "no"}}),
        ({"status_code": 0, "body": None}, None, 500, {"status_code": 0, "body": None}),
        ({"status_code": 500, "message": "Internal"}, None, 500, {"status_code": 500, "message": "Internal"}),
        (None, {"code": "429", "message": "slow"}, 429, {"error": {"code": "429", "message": "slow"}}),
        (None, {"code": "server_error", "message": "x"}, 500, {"error": {"code": "server_error", "message": "x"}}),
    ],
)
def test_a_response_or_an_error_becomes_a_reply(response: object, error: object, status: int, body: object) -> None:
    """Also of lines that failed inside, whose status is 0, or whose response has no body."""
    answered = read_line(line(response, error))
    assert answered is not None
    assert answered.place == PLACE
    assert answered.reply is not None
    assert answered.reply.status == status
    assert orjson.loads(answered.reply.body) == body


@pytest.mark.parametrize("error", [{"code": "batch_expired", "message": "late"}, {"code": "batch_cancelled"}, None])
def test_a_line_that_was_not_run_has_no_reply(error: object) -> None:
    answered = read_line(line(None, error))
    assert answered is not None
    assert answered.reply is None


def test_lines_that_name_no_request_are_passed_over() -> None:
    assert [read_line(each) for each in (b"", b"{", b"[]", line({}, label="theirs"))] == [None] * 4


def test_the_body_of_an_answer_is_kept_byte_for_byte() -> None:
    """Also its spaces, numbers and escapes, which other writers of JSON would change."""
    body = b'{ "choices": [{"body": {"x": 1.50E+1}}],  "text": "a\\u00e9 \\"}{ \\\\", "big": 12345678901234567890123 }'
    text = b'{"id": "b", "custom_id": "r7-m1-s3", "response": {"status_code": 200, "body": %b}, "error": null}\n' % body
    answered = read_line(text)
    assert answered is not None
    assert answered.reply is not None
    assert answered.reply.body == body
