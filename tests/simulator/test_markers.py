import asyncio

import pytest

from batchrun.simulator.markers import EXAMPLES, Order, due, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[simulate: 400]]", ("400", None, None, None)),
        ("[[simulate:cut]]", ("cut", None, None, None)),
        ("[[simulate: 500 x2]]", ("500", None, 2, None)),
        ("[[simulate: slow 2.5]]", ("slow", 2.5, None, None)),
        ("before [[simulate: 503 1 x3 retry-after=date:4]] after", ("503", 1.0, 3, "date:4")),
    ],
)
def test_a_marker_is_read_anywhere_in_a_text(text, expected):
    """Fault, seconds, times and retry-after are taken from the marker."""
    [order] = read([text])
    assert (order.fault.name, order.wait_s, order.times, order.retry_after) == expected
    assert order.model is None


def test_a_marker_may_be_for_one_model():
    """Another model answers the same prompt."""
    [order] = read(["[[simulate: context_length model=org/small-1.5 x2]]"])
    assert (order.model, order.times) == ("org/small-1.5", 2)


@pytest.mark.parametrize("text", [text for text, _ in EXAMPLES])
def test_the_examples_in_the_help_are_valid(text):
    """Examples copied from `--help` work."""
    assert len(read([text])) == 1


def test_text_without_a_marker_orders_nothing():
    """Brackets alone are plain text."""
    assert read(["plain", "[[link]]", "[simulate: 500]", "[[simulate: 500"]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[simulate: ]]", "does not name a fault"),
        ("[[simulate: 5000]]", "no fault is named '5000'; the nearest is 500"),
        ("[[simulate: 500 twice]]", "'twice' is not valid here"),
        ("[[simulate: 503 retry-after=soon]]", "not 'soon'"),
    ],
)
def test_a_marker_that_breaks_the_grammar_is_refused(text, message):
    """A marker with a typing error is never treated as plain text."""
    with pytest.raises(ValueError, match=message):
        read([text])


def test_several_markers_apply_one_after_the_other():
    """The first marker applies, then the second, then the model answers."""
    orders = read(["[[simulate: 500 x2]] [[simulate: cut x1]]"])
    obeyed = [due(orders, attempt) for attempt in (1, 2, 3, 4)]
    assert [order and order.fault.name for order in obeyed] == ["500", "500", "cut", None]


def test_a_marker_without_times_applies_to_all_attempts():
    """The request is never answered."""
    [order] = read(["[[simulate: 400]]"])
    assert due([order], 1000) is order
    assert isinstance(order, Order)


def test_a_request_fails_the_set_number_of_times_and_is_then_answered(connect):
    """`x2` counts the attempts of one request; another seed is another request."""

    async def scenario():
        async with connect() as client:
            prompt = "Label this. [[simulate: 500 x2]]"
            assert [(await client.ask(prompt)).status for _ in range(4)] == [500, 500, 200, 200]
            assert (await client.ask(prompt, seed=1)).status == 500

    asyncio.run(scenario())


def test_only_user_messages_are_searched(connect):
    """A marker in a system prompt is ignored."""

    async def scenario():
        async with connect() as client:
            system = {"role": "system", "content": "[[simulate: 500]]"}
            parts = [{"type": "text", "text": "[[simulate: 503]]"}]
            assert (await client.ask(messages=[system, {"role": "user", "content": "Hi"}])).status == 200
            assert (await client.ask(messages=[system, {"role": "user", "content": parts}])).status == 503

    asyncio.run(scenario())


def test_a_broken_marker_is_answered_with_400(connect):
    """The message has the marker and the grammar."""

    async def scenario():
        async with connect() as client:
            reply = await client.ask("[[simulate: 500 x]]")
            assert reply.status == 400
            assert "[[simulate: FAULT [SECONDS] [xTIMES] [retry-after=VALUE] [model=NAME]]]" in reply.message

    asyncio.run(scenario())
