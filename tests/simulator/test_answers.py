import jsonschema_rs
import orjson
import pytest

from batchrun.simulator.answers import complete
from batchrun.simulator.chat import count_tokens, parse_chat
from batchrun.simulator.errors import RejectedError
from batchrun.simulator.settings import Settings

LABEL = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["label", "score"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "label", "parameters": LABEL}},
]
HUGE = {"type": "integer", "minimum": 1e30}
REASONING_MODEL = "openai/gpt-oss-20b"


def completion(settings=None, prompt="Label this.", **body):
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]} | body
    chat = parse_chat(orjson.dumps(body), image_tokens=100)
    return complete(chat, settings or Settings(), cached_tokens=0, number=1, now_s=1.0)


def first(*args, **body):
    return completion(*args, **body)["choices"][0]


def test_the_same_request_has_the_same_answer():
    """Seed, prompt, model and the seed in the body decide the answer; each of them changes it."""
    answers = [
        first()["message"],
        first(Settings(seed=1))["message"],
        first(seed=1)["message"],
        first(model="other")["message"],
        first(prompt="Label that.")["message"],
    ]
    assert first()["message"] == answers[0]
    assert len({message["content"] for message in answers}) == 5


def test_samples_differ_and_are_counted_together():
    """Each of `n` choices has its own text and index; the usage is their sum."""
    answer = completion(n=4)
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert len(set(texts)) == 4
    assert answer["usage"]["completion_tokens"] == sum(map(count_tokens, texts))
    assert answer["usage"]["total_tokens"] == answer["usage"]["completion_tokens"] + answer["usage"]["prompt_tokens"]


def test_answers_are_about_as_long_as_set():
    """The mean of many answers is near the setting `answer_tokens`."""
    lengths = [
        completion(Settings(answer_tokens=200), f"{number}")["usage"]["completion_tokens"] for number in range(50)
    ]
    assert 180 < sum(lengths) / 50 < 240


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_ends_an_answer(name):
    """A cut answer has the finish reason `length` and never more tokens than allowed."""
    answer = completion(**{name: 2})
    assert answer["choices"][0]["finish_reason"] == "length"
    assert len(answer["choices"][0]["message"]["content"]) == 8
    assert answer["usage"]["completion_tokens"] == 2


def test_the_context_window_ends_an_answer_too():
    """Prompt and answer together fit the window."""
    answer = completion(Settings(context_tokens=10))
    assert answer["usage"]["total_tokens"] == 10
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stop", [":", ["#", ":"]])
def test_a_stop_sequence_ends_an_answer_and_is_not_part_of_it(stop):
    """The text ends before the first stop sequence."""
    choice = first(stop=stop)
    assert choice["message"]["content"] in ("Positive", "Negative", "Neutral", "Mixed")
    assert choice["finish_reason"] == "stop"


def test_a_reasoning_model_reasons():
    """Its thoughts are in `reasoning` and count as completion tokens."""
    answer = completion(model=REASONING_MODEL)
    message, usage = answer["choices"][0]["message"], answer["usage"]
    reasoning_tokens = usage["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning_tokens == count_tokens(message["reasoning"])
    assert usage["completion_tokens"] == reasoning_tokens + count_tokens(message["content"])


@pytest.mark.parametrize(
    ("model", "asked", "reasons"),
    [("m", None, False), ("m", True, True), (REASONING_MODEL, None, True), (REASONING_MODEL, False, False)],
)
def test_thinking_can_be_switched_on_and_off(model, asked, reasons):
    """`chat_template_kwargs.enable_thinking` overrides the model's name."""
    body = {} if asked is None else {"chat_template_kwargs": {"enable_thinking": asked}}
    answer = completion(model=model, **body)
    assert ("reasoning" in answer["choices"][0]["message"]) is reasons
    assert ("completion_tokens_details" in answer["usage"]) is reasons


def test_reasoning_is_in_the_field_that_is_set():
    """Older servers call it `reasoning_content`; others put it between tags in the content."""
    older = first(Settings(reasoning_field="reasoning_content"), model=REASONING_MODEL)["message"]
    inline = first(Settings(reasoning_field="think"), model=REASONING_MODEL)["message"]
    thoughts = older["reasoning_content"]
    assert "reasoning" not in older
    assert inline == {"role": "assistant", "content": f"<think>\n{thoughts}\n</think>\n\n{older['content']}"}


def test_reasoning_can_be_in_details_or_before_a_lone_closing_tag():
    """As OpenRouter sends it, and as models do whose prompt ends with the opening tag."""
    thoughts = first(Settings(), model=REASONING_MODEL)["message"]["reasoning"]
    detailed = first(Settings(reasoning_field="reasoning_details"), model=REASONING_MODEL)["message"]
    assert [detail["text"] for detail in detailed["reasoning_details"]] == [thoughts]
    unopened = first(Settings(reasoning_field="think_end"), model=REASONING_MODEL)["message"]
    assert unopened["content"] == f"{thoughts}\n</think>\n\n{detailed['content']}"


def test_reasoning_can_use_all_tokens():
    """Then there is no content, and the tag of inline thoughts is not closed."""
    answer = completion(model=REASONING_MODEL, max_tokens=3)
    [choice] = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "length")
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    inline = first(Settings(reasoning_field="think"), model=REASONING_MODEL, max_tokens=3)
    assert inline["message"]["content"] == f"<think>\n{choice['message']['reasoning']}"


@pytest.mark.parametrize("choice", [{"type": "function", "function": {"name": "label"}}, "required"])
def test_a_forced_tool_is_called_with_valid_arguments(choice):
    """The named tool, or the first one for `required`, gets arguments that fit its schema."""
    answer = first(tools=TOOLS[::-1], tool_choice=choice)
    [call] = answer["message"]["tool_calls"]
    assert (answer["finish_reason"], answer["message"]["content"]) == ("tool_calls", None)
    assert call["function"]["name"] == "label"
    jsonschema_rs.validate(LABEL, orjson.loads(call["function"]["arguments"]))


def test_an_optional_tool_is_not_called():
    """With `auto` and `none` the answer is text."""
    for choice in ("auto", "none"):
        assert first(tools=TOOLS, tool_choice=choice)["message"]["content"]


def test_json_mode_answers_with_an_object():
    """`json_object` gets an object whose reason names its label."""
    answer = orjson.loads(first(response_format={"type": "json_object"})["message"]["content"])
    assert answer["reason"].lower().startswith(f"{answer['label']}: ")


def test_a_schema_is_followed():
    """`json_schema` answers are valid for every seed."""
    response_format = {"type": "json_schema", "json_schema": {"name": "label", "schema": LABEL, "strict": True}}
    for seed in range(20):
        content = first(response_format=response_format, seed=seed)["message"]["content"]
        jsonschema_rs.validate(LABEL, orjson.loads(content))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tool_choice": "required"}, "Invalid value for 'tool_choice'"),
        ({"tools": TOOLS, "tool_choice": {"function": {"name": "nobody"}}}, "no tool is named 'nobody'"),
        ({"tools": ["x"], "tool_choice": {"function": "x"}}, "no tool is named None"),
        ({"response_format": {"type": "xml"}}, "Invalid value: 'xml'"),
        ({"response_format": {"type": "json_schema"}}, "'response_format.json_schema.schema'"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
            "the schema is invalid",
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": False}}}, "no value was found"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": HUGE}}}, "Integer exceeds 64-bit range"),
    ],
    ids=str,
)
def test_a_request_that_cannot_be_answered_is_refused(body, message):
    """It gets a 400, never a wrong answer."""
    with pytest.raises(RejectedError) as error:
        completion(**body)
    assert error.value.problem.status == 400
    assert message in error.value.problem.message


def test_logprobs_are_sent_on_request():
    """One entry for each token; together the tokens are the text."""
    choice = first(logprobs=True, top_logprobs=2)
    entries = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]
    assert {len(entry["top_logprobs"]) for entry in entries} == {2}
    assert first()["logprobs"] is None
