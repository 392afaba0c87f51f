"""Few-shot examples."""

from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.job.prompt import PromptTemplates
from batchrun.job.settings import SettingError
from batchrun.prompts.rows import RowForms
from batchrun.records import Row

SHOTS = [{"q": f"q{number}", "answer": f"a{number}"} for number in range(20)]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_examples_are_turns_between_the_system_message_and_the_row(made) -> None:
    """They are asked as rows are; the first ones where not all are wanted."""
    shown = made({"q": "mine"}, user="Q: {{ q }}", system="Be brief.", examples=SHOTS, num_examples=2)
    assert shown == [
        {"role": "system", "content": "Be brief."},
        *(user("Q: q0"), assistant("a0"), user("Q: q1"), assistant("a1")),
        user("Q: mine"),
    ]
    assert len(made({"q": "mine"}, user="{{ q }}", examples=SHOTS)) == 41


def test_the_answer_of_an_example_is_a_template(made) -> None:
    examples = [{"q": "q0", "label": {"n": 1}}]
    shown = made({"q": "mine"}, user="{{ q }}", examples=examples, example_answer="{{ label | tojson }}")
    assert shown[1] == assistant('{"n": 1}')


def test_messages_say_where_the_examples_go(made) -> None:
    """An example is asked as a row is, without what stands before its place."""
    messages = [user("Some examples:"), "{{ examples }}", user("Now: {{ q }}")]
    shown = made({"q": "mine"}, messages=messages, examples=SHOTS[:1])
    assert shown == [
        *(user("Some examples:"), user("Now: q0"), assistant("a0")),
        user("Now: mine"),
    ]


def test_rows_that_bring_their_messages_get_examples_too(made) -> None:
    """An example that ends with an assistant's turn has its answer."""
    own = {"role": "system", "content": "Be kind."}
    example = {"messages": [{"role": "system", "content": "x"}, user("a"), assistant("b")]}
    shown = made({"messages": [own, user("mine")]}, examples=[example])
    assert shown == [own, user("a"), assistant("b"), user("mine")]
    assert made({"prompt": "mine"}, examples=[{"prompt": "a", "answer": "b"}]) == [
        user("a"),
        assistant("b"),
        user("mine"),
    ]


def test_a_seed_draws_examples_for_each_row(make_job) -> None:
    """The same ones for the same row on every run; others for other rows and seeds; each equally often."""
    job = {"user": "{{ q }}", "examples": SHOTS, "num_examples": 3}
    forms = [RowForms(make_job(**job, example_seed=seed)) for seed in range(10)]

    def drawn(text: str, seed: int) -> list[str]:
        messages = forms[seed].prompt(Row(3, {"q": text}, "a: row 3")).body["messages"]
        return [message["content"] for message in messages[0:-1:2]]

    assert drawn("mine", 1) == drawn("mine", 1)
    assert len({tuple(drawn("mine", seed)) for seed in range(10)}) > 5
    counts = dict.fromkeys([shot["q"] for shot in SHOTS], 0)
    for number in range(2000):
        chosen = drawn(f"row {number}", 0)
        assert len(set(chosen)) == 3
        for each in chosen:
            counts[each] += 1
    assert all(230 < count < 370 for count in counts.values()), counts  # 300 on average, standard deviation 16


def test_a_row_never_gets_its_own_answer_as_an_example(made) -> None:
    job = {"user": "{{ q }}", "examples": SHOTS, "example_seed": 0}
    shown = made({"q": "q7"}, **job)
    assert len(shown) == 19 * 2 + 1
    assert assistant("a7") not in shown
    assert len(made({"q": "q7"}, **job, num_examples=5)) == 5 * 2 + 1


@pytest.mark.parametrize(
    ("examples", "problem"),
    [
        ([{"q": "q0"}], r"prompt.examples\[0\]: has no column answer, .*; set prompt.example_answer"),
        ([{"answer": "a0"}], r"prompt.examples\[0\]: has no column q, which prompt.user names"),
    ],
)
def test_an_example_that_lacks_a_column_is_named(make_job, examples: list[Any], problem: str) -> None:
    with pytest.raises(JobError, match=problem):
        RowForms(make_job(user="{{ q }}", examples=examples))


@pytest.mark.parametrize(
    ("settings", "must"),
    [
        ({"num_examples": 2}, "needs examples"),
        ({"examples": SHOTS, "num_examples": 21}, "at most the number of examples, 20"),
        ({"examples": "shots.jsonl"}, "must be what the file holds"),
        ({"examples": []}, "must be a file of JSON Lines, or a list"),
    ],
)
def test_settings_of_examples_are_checked(settings: dict[str, Any], must: str) -> None:
    with pytest.raises(SettingError, match=must):
        PromptTemplates(**settings)
