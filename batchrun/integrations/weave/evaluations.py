"""Sends dataset, results, evaluations and their leaderboard to Weave.

Evaluations are made by the SDK's own logger. One is noted as it begins and as it ends; one that was cut off is deleted,
and made again.
"""

import re
from itertools import islice
from typing import Any, NamedTuple

from batchrun.integrations.record import BATCH, picked
from batchrun.integrations.weave.session import Session

MOST_ROWS = 10_000
"""Input rows of which dataset, results and evaluations are made, at most: the SDK holds them all until the end."""


class _Scored(NamedTuple):
    """What the scores of one model are called, and add up to."""

    model: str
    summary: dict[str, Any]


class Evaluations:
    """Those of one publication."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def send(self) -> None:
        """Send dataset and results; where answers are scored, an evaluation a model, and their leaderboard."""
        record, ledger, say = self._session.record, self._session.ledger, self._session.say
        fingerprint, scored = record.fingerprint(), self._scored()
        done = f"objects {self._session.place}"
        if ledger.fact(done) == fingerprint:
            say("weave: dataset, results and evaluations were there before")
            return
        rows = list(record.rows(MOST_ROWS))
        dataset = self._dataset(rows)
        answers = record.answer_columns()
        self._publish("results", [picked(row, answers) for row in rows])
        evaluation = None
        for each in scored:
            evaluation = self._evaluate(each, dataset, rows, fingerprint) or evaluation
        if evaluation is not None:
            self._lead(evaluation)
        ledger.note(done, fingerprint)
        what = f"dataset, results, {len(scored)} evaluations and a leaderboard" if scored else "dataset and results"
        say(f"weave: {self._session.project}: {what} are there, of {len({row['row'] for row in rows}):,} input rows")

    def _scored(self) -> list[_Scored]:
        return [
            _Scored(each["model"], {name: value for name, value in each.items() if name != "model"})
            for each in self._session.record.summary.scores
            if each["mean"] is not None
        ]

    @property
    def _scorer(self) -> str:
        evaluate = self._session.record.job.evaluate
        return evaluate.scorer if evaluate.target is not None else "score"

    def _dataset(self, rows: list[dict[str, Any]]) -> Any:
        """Publish the input rows; return the dataset."""
        columns = self._session.record.input_columns()
        return self._publish("dataset", list({row["row"]: picked(row, columns) for row in rows}.values()))

    def _publish(self, what: str, rows: list[dict[str, Any]]) -> Any:
        dataset = self._session.weave.Dataset(name=_object_name(f"{self._session.record.name}-{what}"), rows=rows)
        self._session.publish(dataset)
        return dataset

    def _evaluate(self, scored: _Scored, dataset: Any, rows: list[dict[str, Any]], fingerprint: str) -> str | None:
        """Make the evaluation of a model; return the name of what was evaluated.

        The rows may be a sample; what they add up to is always of the whole run.
        """
        note = f"evaluation {self._session.place} {scored.model}"
        before = self._session.ledger.fact(note) or {}
        if before.get("fingerprint") == fingerprint and before.get("is_done"):
            return str(before["evaluation"])
        if before and not before["is_done"]:
            self._session.client.delete_calls([before["call"]])  # cut off: it would stand there for ever, as if it ran
        with self._session.heard():
            evaluation = self._session.weave.EvaluationLogger(
                name=f"{self._session.record.name}: {scored.model}",
                model=self._model(scored.model),
                dataset=dataset,
                scorers=[self._scorer],
                trace_scores=False,  # a score is on its prediction; as a call of its own it costs four times as long
            )
            call = evaluation.ui_url.rsplit("/", 1)[-1]
            self._session.ledger.note(note, {"call": call, "is_done": False})
            try:
                self._predict(evaluation, [row for row in rows if row["model"] == scored.model])
                evaluation.log_summary({self._scorer: scored.summary}, auto_summarize=False)
                self._session.flush()
            except BaseException as problem:
                if isinstance(problem, Exception):
                    evaluation.fail(problem)
                raise
            name = str(self._session.module("weave.trace.weave_client").get_ref(evaluation._pseudo_evaluation).uri)
        self._session.ledger.note(note, {"call": call, "is_done": True, "fingerprint": fingerprint, "evaluation": name})
        return name

    def _predict(self, evaluation: Any, rows: list[dict[str, Any]]) -> None:
        columns = self._session.record.input_columns()
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            for row in batch:
                prediction = evaluation.log_prediction(inputs=picked(row, columns), output=row["response"])
                if row["score"] is not None:
                    prediction.log_score(self._scorer, row["score"])
                prediction.finish()
            self._session.flush()
            self._session.say("weave: evaluating")

    def _model(self, name: str) -> Any:
        job = self._session.record.job
        told: dict[str, Any] = {
            "model": name,
            "system": job.prompt.system,
            "user": job.prompt.user,
            "parameters": job.model.parameters(),
        }
        fields = {"__annotations__": dict.fromkeys(told, Any), "__module__": __name__, **told}
        return type("Model", (self._session.weave.Model,), fields)(name=_object_name(name))

    def _lead(self, evaluation: str) -> None:
        leaderboards = self._session.module("weave.flow.leaderboard")
        column = leaderboards.LeaderboardColumn(
            evaluation_object_ref=evaluation, scorer_name=self._scorer, summary_metric_path="mean"
        )
        board = leaderboards.Leaderboard(
            name=_object_name(f"{self._session.record.name}-leaderboard"),
            description=f"{self._scorer}: mean over the answers of the run {self._session.record.name}",
            columns=[column],
        )
        self._session.publish(board)


def _object_name(text: str) -> str:
    """Return a text as the name of an object may be, which is all that Weave would make of it too."""
    return re.sub(r"[^\w.-]+", "-", text)[:128].strip("-.") or "run"
