"""What the evaluation of a run adds at the end of its results: scores, what the scorer found, votes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from batchrun.answers.columns import AnswerColumns
from batchrun.answers.scores.scorers import FunctionScorer, NamedFunction
from batchrun.errors import JobError
from batchrun.job.evaluate import SCORE, Evaluate
from batchrun.results.columns import JUDGE_SCORE, PREDICTION, Column, input_name, score_column
from batchrun.results.judgments import Judgments
from batchrun.results.row_scorers import ByFunction, ByTarget, Objects
from batchrun.results.scores import MOST_GROUPS, Scoring
from batchrun.results.votes import Voted, Voting, voted_on


class Evaluated:
    """The columns that an evaluation adds at the end of the results."""

    def __init__(
        self,
        scorings: Sequence[Scoring] = (),
        voted: Voted | None = None,
        reads: Mapping[str, str] | None = None,
        judgments: Judgments | None = None,
    ) -> None:
        """Start with nothing.

        Args:
            scorings: the columns of scores.
            voted: what the answers vote on.
            judgments: of the judge, which is one of the scorers.
            reads: columns of the input that it needs: name in the input → name in the results.
        """
        self.scorings, self.reads, self._judgments = scorings, reads or {}, judgments
        self.voting = None if voted is None else Voting(voted)
        self._has_prediction = voted is not None and voted.is_prediction
        self._own = _own_columns([each.column for each in scorings], judgments, voted)
        self.columns = [*self._own, *([] if self.voting is None else self.voting.columns)]
        """The columns that it adds."""
        self.problem: str | None = None
        """Why the answers do not vote, although the job says so."""

    def scored(self, rows: pa.RecordBatch, objects: Objects) -> pa.RecordBatch:
        """Return the next rows with their scores; the votes are still missing."""
        scores = [each.scores(rows, objects) for each in self.scorings]
        arrays = [pa.array([score.value for score in its], pa.float64()) for its in scores]
        if self._judgments is not None:
            arrays += self._judgments.arrays()
        if self._has_prediction:
            arrays.append(pa.array([score.prediction for score in scores[0]], pa.string()))
        fields = [pa.field(column.name, column.type) for column in self._own]
        return pa.RecordBatch.from_arrays([*rows.columns, *arrays], schema=pa.schema([*rows.schema, *fields]))

    def voted(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows with the votes, if there are any.

        Args:
            batches: of the results, with their scores.
            schema: of the results.
        """
        return iter(batches) if self.voting is None else self.voting.extended(batches, schema)

    def table(self) -> list[dict[str, Any]]:
        """Return the scores: one entry per model and column."""
        return [entry for each in self.scorings for entry in each.table()]

    @property
    def agreement(self) -> dict[str, Any] | None:
        """How far the answers agree; None without votes."""
        return None if self.voting is None else self.voting.table()

    @property
    def name(self) -> str:
        """What scored the rows, for people."""
        return "; ".join(
            each.scorer.name if each.column == SCORE else f"{each.column} by {each.scorer.name}"
            for each in self.scorings
        )

    @property
    def notices(self) -> list[str]:
        """Messages about what is missing."""
        many = f"evaluate.by: the column has more than {MOST_GROUPS} values, so there are no scores by group"
        has_many = any(each.has_too_many_groups for each in self.scorings)
        return [*([many] if has_many else []), *([self.problem] if self.problem else [])]


def _own_columns(scored: Iterable[str], judgments: Judgments | None, voted: Voted | None) -> list[Column]:
    """Return the columns that need one row at a time."""
    judged = [] if judgments is None else judgments.columns
    predictions = [PREDICTION] if voted is not None and voted.is_prediction else []
    return [*map(score_column, scored), *judged, *predictions]


def evaluated_by(
    evaluate: Evaluate,
    inputs: pa.Schema | None,
    answers: AnswerColumns | None,
    *,
    samples: int,
    function: NamedFunction | None,
    judgments: Judgments | None = None,
) -> Evaluated:
    """Return what an evaluation adds to results.

    Args:
        evaluate: the job's settings.
        inputs: the input's columns; without them, nothing can be compared with a target.
        answers: the columns of the answers.
        samples: answers per prompt and model.
        function: scores the rows instead of the job's scorers.
        judgments: of the judge.
    """
    scored = evaluate.scored() if function is None else {}
    problem = None
    try:
        voted = voted_on(evaluate, answers)
        if voted is not None and voted.is_prediction and function is not None:
            raise JobError(f"evaluate.vote: {function.name} finds no text in the answers to vote on")
    except JobError as reason:  # the results are read by another schema or scorer than the job's
        voted, problem = None, f"the answers do not vote: {reason}"
    judged = [] if judgments is None else [JUDGE_SCORE.name]
    own = _own_columns([*(scored if function is None else [SCORE]), *judged], judgments, voted)
    added = [*own, *([] if voted is None else Voting(voted).columns)]
    names = {} if inputs is None else {name: input_name(inputs, name, added) for _, name in evaluate.reads}
    reads = {name: there for name, there in names.items() if there is not None}
    by = None if evaluate.by is None else reads.get(evaluate.by)
    scorings = [
        Scoring(ByTarget(each, reads.get(each.target or "")), samples, column=column, by=by)
        for column, each in scored.items()
    ]
    if function is not None:
        scorings = [Scoring(ByFunction(FunctionScorer(function)), samples, by=by)]
    if judgments is not None:
        scorings.append(Scoring(judgments, samples, column=JUDGE_SCORE.name, by=by))
    evaluated = Evaluated(scorings, voted, reads, judgments)
    evaluated.problem = problem
    return evaluated
