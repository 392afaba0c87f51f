"""Sends dataset, results, evaluations and their leaderboard to Weave.

Evaluations are made by the SDK's own logger. Their start and end are recorded; an interrupted one is deleted and made
again. Other results or another sample give another version of the evaluation, so that a leaderboard never mixes them.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson

from batchrun.job.evaluate import SCORE
from batchrun.publish.errors import status_of
from batchrun.publish.record import picked
from batchrun.publish.weave.session import Session
from batchrun.report.texts import counted

MOST_ROWS = 10_000
"""The most input rows in dataset, results and evaluations: the SDK holds them all in memory until the end."""

_MOST_BYTES = 64 << 20
"""Their largest size as JSON: fewer rows are sent where rows are wide."""

_AT_ONCE = 200
"""Predictions between two flushes of the SDK."""


class _Scored(NamedTuple):
    """The model and the summary of its scores."""

    model: str
    summary: dict[str, Any]


class Evaluations:
    """The evaluations of one publication."""

    def __init__(self, session: Session, calls: Mapping[tuple[int, str, int], str]) -> None:
        """Name the run and its calls.

        Args:
            session: of the publication.
            calls: row, model and sample to the id of the traced call.
        """
        self._session, self._calls = session, calls
        sample = session.record.sample
        self._place = session.place if sample is None else f"{session.place} sample {sample}"

    def send(self) -> None:
        """Send dataset and results; for scored answers also one evaluation per model, and their leaderboard."""
        record, ledger, say = self._session.record, self._session.ledger, self._session.say
        fingerprint, scored = record.fingerprint(), self._scored()
        done = f"objects {self._place}"
        if ledger.fact(done) == fingerprint:
            say("weave: dataset, results and evaluations already published")
            return
        rows = self._rows()
        dataset = self._dataset(rows)
        answers = record.answer_columns()
        self._publish("results", [picked(row, answers) for row in rows])
        evaluation = None
        for each in scored:
            evaluation = self._evaluate(each, dataset, rows, fingerprint) or evaluation
        if evaluation is not None:
            self._lead(evaluation)
        ledger.note(done, fingerprint)
        evaluated = f"dataset, results, {counted(len(scored), 'evaluation')} and a leaderboard"
        what = evaluated if scored else "dataset and results"
        inputs = counted(len({row["row"] for row in rows}), "input row")
        say(f"weave: {self._session.project}: published {what} of {inputs}")

    def _rows(self) -> list[dict[str, Any]]:
        """Return the rows of the results to publish: as many as fit in memory."""
        most = MOST_ROWS
        while (rows := self._held(most)) is None:
            most //= 2
        return rows

    def _held(self, most: int) -> list[dict[str, Any]] | None:
        """Return the answers to that many input rows; None when they are too large."""
        rows: list[dict[str, Any]] = []
        size_bytes = 0
        for row in self._session.record.rows(most):
            rows.append(row)
            size_bytes += len(orjson.dumps(row))
            if size_bytes > _MOST_BYTES and most > 1:
                return None
        return rows

    def _scored(self) -> list[_Scored]:
        return [
            _Scored(each["model"], {name: value for name, value in each.items() if name != "model"})
            for each in self._session.record.summary.scores
            if each["mean"] is not None and each.get("column", SCORE) == SCORE
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

    def _evaluate(self, scored: _Scored, dataset: Any, rows: list[dict[str, Any]], fingerprint: str) -> str:
        """Make the evaluation of a model; return the name of the evaluation object.

        The rows may be a sample; the summary is always that of the whole run.
        """
        ledger, note = self._session.ledger, f"evaluation {self._place} {scored.model}"
        before = ledger.fact(note) or {}
        if before.get("fingerprint") == fingerprint and before.get("is_done"):
            return str(before["evaluation"])
        if before and not before["is_done"]:
            self._delete(before["call"])
        own = [row for row in rows if row["model"] == scored.model]
        with self._session.heard():
            evaluation = self._begun(scored.model, dataset, fingerprint)
            call = evaluation.ui_url.rsplit("/", 1)[-1]
            ledger.note(note, {"call": call, "is_done": False})
            with _failing(evaluation):
                self._predict(evaluation, scored.model, own)
                evaluation.log_summary({self._scorer: scored.summary, **_latency(own)}, auto_summarize=False)
                self._session.flush()
            name = str(self._session.module("weave.trace.weave_client").get_ref(evaluation._pseudo_evaluation).uri)
        ledger.note(note, {"call": call, "is_done": True, "fingerprint": fingerprint, "evaluation": name})
        return name

    def _delete(self, call: str) -> None:
        """Delete an interrupted evaluation: Weave would show it as running forever."""
        try:
            self._session.client.delete_calls([call])
        except Exception as problem:
            if status_of(problem) not in (401, 403, 404):
                raise
            self._session.say("weave: an interrupted evaluation stays visible: the server does not allow to delete it")

    def _begun(self, model: str, dataset: Any, fingerprint: str) -> Any:
        job = self._session.record.job
        return self._session.weave.EvaluationLogger(
            name=f"{self._session.record.name}: {model}",
            model={
                "name": _object_name(model),
                "model": model,
                "system": job.prompt.system,
                "user": job.prompt.user,
                "messages": job.prompt.texts().get("Messages"),
                "parameters": job.model.parameters(),
            },
            dataset=dataset,
            scorers=[self._scorer],
            eval_attributes={"batchrun": {"run": self._session.record.name, "results": fingerprint}},
            trace_scores=False,  # scores are part of the predictions; as separate calls they take four times as long
        )

    def _predict(self, evaluation: Any, model: str, rows: list[dict[str, Any]]) -> None:
        for start in range(0, len(rows), _AT_ONCE):
            batch = rows[start : start + _AT_ONCE]
            for row in batch:
                self._log(evaluation, row)
            self._session.flush()
            self._session.say(f"weave: evaluating {model}: {start + len(batch):,} of {counted(len(rows), 'answer')}")

    def _log(self, evaluation: Any, row: dict[str, Any]) -> None:
        """Log a prediction with its usage and latency, which the SDK cannot measure, and the id of its traced call."""
        inputs = picked(row, self._session.record.input_columns())
        failure = None if row["error_kind"] is None else {"error": f"{row['error_kind']}: {row['error']}"}
        facts = picked(row, ("row", "sample", "latency_s", "error_kind"))
        facts["call"] = self._calls.get((row["row"], row["model"], row["sample"]))
        with self._session.weave.attributes({"batchrun": facts}):
            prediction = evaluation.log_prediction(inputs=inputs, output=failure or row["response"])
        prediction.predict_call.summary = {"usage": usage_of(row["model"], row), "latency_s": row["latency_s"]}
        if row["score"] is not None:
            prediction.log_score(self._scorer, row["score"])
        prediction.finish()

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


def usage_of(model: str, counts: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return token counts under Weave's names; empty where there are none."""
    names = {name: name for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    names["cached_tokens"] = "cache_read_input_tokens"
    found = {there: counts[here] for here, there in names.items() if counts[here] is not None}
    return {model: {"requests": 1, **found}} if found else {}


def _latency(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean latency in the form of Weave's own evaluations."""
    known = [row["latency_s"] for row in rows if row["latency_s"] is not None]
    return {"model_latency": {"mean": sum(known) / len(known)}} if known else {}


@contextmanager
def _failing(evaluation: Any) -> Iterator[None]:
    """Mark an evaluation as failed when its block raises."""
    try:
        yield
    except Exception as problem:
        evaluation.fail(problem)
        raise


def _object_name(text: str) -> str:
    """Return a text as a valid object name, replacing the same characters as Weave."""
    return re.sub(r"[^\w.-]+", "-", text)[:128].strip("-.") or "run"
