"""The totals of each model's scores."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.scores.intervals import Interval
from batchrun.answers.scores.scorers import NO_SCORE, Score
from batchrun.answers.scores.tables import Evaluation, pass_at_k


def test_each_model_has_its_own_scores() -> None:
    """Scores arrive in the order of the results: row, model, sample. Rows without a score are counted separately."""
    evaluation = Evaluation()
    for row in range(10):
        evaluation.add("small", row, Score(float(row < 7)))
        evaluation.add("large", row, NO_SCORE if row == 9 else Score(1.0))
    small, large = evaluation.scores()
    assert (small.model, small.scored, small.unscored, small.prompts, small.mean) == ("small", 10, 0, 10, 0.7)
    assert small.interval == pytest.approx(Interval(0.39677814746114537, 0.8922087325936989))  # statsmodels, Wilson
    assert (large.model, large.scored, large.unscored, large.prompts, large.mean) == ("large", 9, 1, 9, 1.0)
    assert small.pass_at == {}
    assert small.labels is None


def test_a_model_without_scores_is_listed_too() -> None:
    """It failed in every row, and users should see that."""
    evaluation = Evaluation()
    evaluation.add("m", 0, NO_SCORE)
    [scores] = evaluation.scores()
    assert (scores.scored, scores.unscored, scores.mean, scores.interval) == (0, 1, None, None)


def test_pass_at_k_is_averaged_over_prompts_with_enough_samples() -> None:
    """A prompt with too few scored samples for a k is left out of it. Source: 1 - C(n - c, k) / C(n, k), by hand."""
    evaluation = Evaluation(samples=4)
    for row, values in enumerate(([1, 0, 0, 0], [1, 1, 0, None], [0, 0, 0, 0])):
        for value in values:
            evaluation.add("m", row, Score(value))
    [scores] = evaluation.scores()
    assert scores.pass_at == pytest.approx(
        {1: (1 / 4 + 2 / 3 + 0) / 3, 2: (1 / 2 + 1 + 0) / 3, 4: (1 + 0) / 2},
    )
    assert (scores.scored, scores.unscored, scores.prompts) == (11, 1, 3)


@pytest.mark.parametrize(
    ("samples", "ks"), [(1, []), (2, [1, 2]), (8, [1, 2, 5, 8]), (100, [1, 2, 5, 10, 20, 50, 100])]
)
def test_k_grows_in_usual_steps_up_to_the_number_of_samples(samples: int, ks: list[int]) -> None:
    """The last step is the number of samples."""
    evaluation = Evaluation(samples)
    for _ in range(samples):
        evaluation.add("m", 0, Score(1.0))
    assert list(evaluation.scores()[0].pass_at) == ks


def test_scores_between_right_and_wrong_have_no_pass_at_k() -> None:
    """Their interval is that of a mean, not of a share. Source: scipy, t.interval of prompts with one sample each."""
    evaluation = Evaluation(samples=2)
    for row, value in enumerate([0.2, 0.9, 0.5, 0.7, 0.35]):
        evaluation.add("m", row, Score(value))
    [scores] = evaluation.scores()
    assert scores.pass_at == {}
    assert scores.mean == pytest.approx(0.53)
    assert scores.interval == pytest.approx(Interval(0.18545222348486629, 0.8745477765151337), rel=1e-3)


def test_labels_are_counted_if_the_scorer_returns_them() -> None:
    """Only rows with a score count."""
    evaluation = Evaluation()
    for row in range(20):
        target = "ab"[row % 2]
        evaluation.add("m", row, Score(float(row != 3), "a" if row == 3 else target, target))
        evaluation.add("m", 100 + row, Score(None, "a", None))
    labels = evaluation.scores()[0].labels
    assert labels is not None
    assert labels.accuracy == 0.95
    assert labels.confusion == [[10, 0, 0], [1, 9, 0]]


def test_scores_can_be_read_before_all_rows_are_added() -> None:
    """The report of a running job needs that."""
    evaluation = Evaluation()
    means = []
    for row in range(4):
        evaluation.add("m", row, Score(float(row % 2)))
        means.append(evaluation.scores()[0].mean)
    assert means == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])


@given(st.integers(1, 60), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(count: int, data: st.DataObject) -> None:
    """Compared with the formula in whole numbers."""
    right, k = data.draw(st.integers(0, count)), data.draw(st.integers(1, count))
    assert pass_at_k(count, right, k) == pytest.approx(1 - math.comb(count - right, k) / math.comb(count, k))
