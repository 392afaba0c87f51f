import orjson
import pytest

from batchrun.simulator.chat import count_tokens, parse_chat
from batchrun.simulator.errors import RejectedError

USER = {"role": "user", "content": "Label this."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(**body):
    return parse_chat(orjson.dumps({"model": "m", "messages": [USER]} | body), image_tokens=100)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "We could not parse the JSON body of your request."),
        (b"{", "We could not parse the JSON body of your request."),
        (b"[]", "We could not parse the JSON body of your request."),
        (b'{"messages": []}', "you must provide a model parameter"),
        (b'{"model": 5}', "you must provide a model parameter"),
        (b'{"model": "m"}', "Missing required parameter: 'messages'."),
        (b'{"model": "m", "messages": []}', "Invalid 'messages': expected an array with at least 1 message."),
        (b'{"model": "m", "messages": "hi"}', "Invalid 'messages': expected an array with at least 1 message."),
    ],
)
def test_a_body_that_is_not_a_request_is_refused(raw, message):
    """Each missing part has its own message, with a 400."""
    with pytest.raises(RejectedError) as error:
        parse_chat(raw, image_tokens=100)
    assert (error.value.problem.status, error.value.problem.message) == (400, message)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"temperature": 3}, "temperature", "decimal above maximum value. Expected a value <= 2, but got 3 instead."),
        ({"temperature": -0.1}, "temperature", "decimal below minimum value. Expected a value >= 0"),
        ({"temperature": "hot"}, "temperature", "expected a decimal, but got a string instead."),
        ({"temperature": True}, "temperature", "expected a decimal, but got a boolean instead."),
        ({"n": 0}, "n", "integer below minimum value. Expected a value >= 1, but got 0 instead."),
        ({"n": 1.5}, "n", "expected an integer, but got a number instead."),
        ({"max_tokens": 0}, "max_tokens", "integer below minimum value"),
        ({"top_p": 2}, "top_p", "decimal above maximum value"),
        ({"stream": "yes"}, "stream", "expected a boolean, but got a string instead."),
        ({"stop": 5}, "stop", "expected a string or an array of strings"),
        ({"stop": [""]}, "stop", "expected a string or an array of strings"),
        ({"tools": {}}, "tools", "expected an array, but got an object instead."),
        ({"response_format": "json"}, "response_format", "expected an object, but got a string instead."),
        ({"messages": ["hi"]}, "messages[0].role", "Missing required parameter"),
        ({"messages": [{"role": "narrator", "content": ""}]}, "messages[0].role", "Supported values are: 'system'"),
        ({"messages": [USER, {"role": "user"}]}, "messages[1].content", "but got null instead."),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "but got a number instead."),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA"}}]}]},
            "messages[0].content[0].input_audio.format",
            "Missing required parameter",
        ),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]", "expected a text or image_url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "cat.png"}}]}]},
            "messages[0].content[0].image_url.url",
            "Expected a valid URL",
        ),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(body, param, message):
    """The 400 names the parameter, the expected value and the value that came."""
    with pytest.raises(RejectedError) as error:
        chat(**body)
    assert error.value.problem.param == param
    assert message in error.value.problem.message


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": None, "stop": None, "n": None},
        {"temperature": 0, "top_p": 1, "seed": -5, "frequency_penalty": -2.0, "stop": "x", "brand_new": {}},
        {"messages": [USER, {"role": "assistant", "content": None}, {"role": "tool", "content": "4"}]},
    ],
)
def test_parameters_that_the_endpoint_accepts_are_accepted(body):
    """Null means not given, and unknown parameters are ignored."""
    assert chat(**body).model == "m"


def test_tokens_are_counted_by_characters_and_images():
    """A token is four characters; a message adds three tokens, an image a fixed number."""
    assert [count_tokens(text) for text in ("", "a", "four", "fours")] == [1, 1, 1, 2]
    assert chat().prompt_tokens == 3 + 3
    with_image = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE, IMAGE]}]
    assert chat(messages=with_image).prompt_tokens == 3 + 3 + 200
    files = [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
    ]
    assert chat(messages=[{"role": "user", "content": files}]).prompt_tokens == 3 + 300
    assert chat(tools=[{"type": "function"}]).prompt_tokens > chat().prompt_tokens


def test_model_last_user_message_and_seed_identify_a_request():
    """Other differences, such as the temperature, do not make it another request."""
    assert chat().key == chat(temperature=1).key
    assert (
        len({chat().key, chat(seed=1).key, chat(model="x").key, chat(messages=[USER, USER | {"content": "b"}]).key})
        == 4
    )
