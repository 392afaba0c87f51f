"""95 % intervals, compared with those of scipy 1.17 and statsmodels 0.15."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.scores.intervals import Interval, Spread, t_quantile


def spread_of(*prompts: list[float]) -> Spread:
    """Return the sums of prompts, each a list of the scores of its samples."""
    spread = Spread()
    for scores in prompts:
        spread.add(sum(scores), len(scores))
    return spread


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.27753279986288926),
        (7, 10, 0.39677814746114537, 0.8922087325936989),
        (10, 10, 0.7224672001371106, 1.0),
        (941, 1319, 0.688425289483544, 0.7371737089798934),
        (1, 1, 0.2065493143772374, 1.0),
    ],
)
def test_one_right_or_wrong_answer_per_prompt_gives_wilsons_interval(
    right: int, count: int, low: float, high: float
) -> None:
    """Source: statsmodels, proportion_confint(right, count, method="wilson")."""
    spread = spread_of(*([1.0] for _ in range(right)), *([0.0] for _ in range(count - right)))
    assert spread.mean == right / count
    assert spread.wilson() == pytest.approx(Interval(low, high), abs=1e-12)


def test_samples_that_always_agree_count_as_one() -> None:
    """Ten equal answers to each of ten prompts give the interval of ten answers."""
    once = spread_of(*[[1.0]] * 7, *[[0.0]] * 3)
    ten_times = spread_of(*[[1.0] * 10] * 7, *[[0.0] * 10] * 3)
    assert ten_times.wilson() == pytest.approx(once.wilson())
    assert ten_times.mean == pytest.approx(0.7)


def test_samples_that_differ_by_chance_count_separately() -> None:
    """If all prompts have the same share of right answers, every sample is independent evidence."""
    single = spread_of(*[[1.0]] * 70, *[[0.0]] * 30)
    grouped = spread_of(*[[1.0] * 7 + [0.0] * 3] * 10)
    assert grouped.wilson() == pytest.approx(single.wilson())


def test_samples_that_are_all_right_count_as_their_prompts() -> None:
    """Without a wrong answer, the correlation of samples is unknown, so the wider interval is used."""
    assert spread_of(*[[1.0] * 100] * 10).wilson() == spread_of(*[[1.0]] * 10).wilson()


def test_other_scores_have_students_interval() -> None:
    """Also for large values that are close together. Source: scipy, t.interval(0.95, 4, mean, sem)."""
    scores = [0.2, 0.9, 0.5, 0.7, 0.35]
    interval = spread_of(*([score] for score in scores)).student()
    assert interval == pytest.approx(Interval(0.18545222348486629, 0.8745477765151337), rel=1e-3)
    far = spread_of(*([score + 1e9] for score in scores)).student()
    assert far is not None
    assert far.high - far.low == pytest.approx(0.6890955530302674, rel=1e-3)


def test_samples_of_a_prompt_are_one_cluster() -> None:
    """Source: statsmodels, OLS(scores, 1).fit(cov_type="cluster", cov_kwds={"groups": prompts}, use_t=True).

    The scores are the ones below, by prompt. statsmodels corrects for few clusters.
    """
    rng = random.Random(1)
    prompts = []
    for prompt in range(20):
        samples = rng.randint(1, 5)
        prompts.append([rng.gauss(prompt % 3, 1) for _ in range(samples)])
    spread = spread_of(*prompts)
    assert spread.mean == pytest.approx(0.8060342400474134)
    assert spread.student() == pytest.approx(Interval(0.22418184, 1.38788664), abs=1e-6)


def test_too_few_scores_have_no_interval() -> None:
    """Without scores there is no mean either. From one score, the spread is unknown."""
    assert (spread_of().mean, spread_of().wilson(), spread_of().student()) == (None, None, None)
    assert spread_of([0.3, 0.4]).student() is None


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [
        (1, 12.706204736174694),
        (2, 4.302652729749462),
        (3, 3.1824463052837078),
        (4, 2.7764451051977934),
        (10, 2.228138851986274),
        (1000, 1.9623390808264083),
    ],
)
def test_students_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    """Source: scipy, t.ppf(0.975, freedom)."""
    assert t_quantile(freedom) == pytest.approx(quantile, rel=2e-3)


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=5), min_size=1, max_size=20))
def test_a_mean_is_always_within_its_interval(prompts: list[list[float]]) -> None:
    """Mean and interval are between 0 and 1."""
    spread = spread_of(*prompts)
    interval = spread.wilson()
    assert interval is not None
    assert spread.mean is not None
    assert 0 <= interval.low <= spread.mean + 1e-12
    assert spread.mean - 1e-12 <= interval.high <= 1
