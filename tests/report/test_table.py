"""Which columns of the results stand next to one another."""

import pytest

from batchrun.job.evaluate import Evaluate
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job
from batchrun.report.table import MESSAGES, layout_of
from batchrun.results.columns import AFTER_ANSWER, BEFORE_ANSWER


def names(*inputs: str, typed: tuple[str, ...] = (), is_scored: bool = False) -> list[str]:
    """Return the columns of results."""
    before, after = ([column.name for column in part] for part in (BEFORE_ANSWER, AFTER_ANSWER))
    return ["row", "custom_id", *inputs, *before, *typed, *after, *(["score"] if is_scored else [])]


@pytest.mark.parametrize(
    ("user", "inputs", "texts"),
    [
        ("{{ title }}: {{ text }}", ["text", "lang", "title"], ["text", "title"]),
        ("{{ response }}", ["input_response"], ["input_response"]),
        ("{{ gone }}", ["text"], []),
        (None, ["prompt", "topic"], ["prompt"]),
        (None, ["messages", "topic"], [MESSAGES]),
        ("{% for name in row %}{{ name }}{% endfor %}", ["prompt", "a"], ["prompt", "a"]),
        ("{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}", ["a", "b", "c", "d", "e"], ["a", "b", "c", "d"]),
    ],
)
def test_what_the_prompt_is_made_of_stands_next_to_the_answer(
    user: str | None, inputs: list[str], texts: list[str]
) -> None:
    """Also where the results had to rename a column."""
    assert layout_of(names(*inputs), Job(input=Input(), prompt=PromptTemplates(user=user))).texts == texts


def test_columns_are_parted_into_prompt_and_answer() -> None:
    """The typed ones are those of the schema; the target is not shown as a text of the prompt."""
    job = Job(input=Input(), prompt=PromptTemplates(user="{{ text }} {{ gold }}"), evaluate=Evaluate(target="gold"))
    layout = layout_of(names("text", "gold", typed=("label", "sure"), is_scored=True), job)
    assert layout.prompt == ["row", "custom_id", "text", "gold"]
    assert (layout.texts, layout.target, layout.typed, layout.is_scored) == (["text"], "gold", ["label", "sure"], True)
    assert layout.answer[0] == "model"
    assert layout.answer[-1] == "score"
