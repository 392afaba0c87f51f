"""Carries batches out: validates, answers line by line, expires, cancels. It waits, and does no other I/O."""

from __future__ import annotations

import asyncio
import time
from random import Random

from batchrun.simulator.batches.batch import Batch
from batchrun.simulator.batches.checks import checked, problem
from batchrun.simulator.batches.files import Files
from batchrun.simulator.batches.lines import Model, answer_line, expired_line
from batchrun.simulator.errors import RejectedError
from batchrun.simulator.kinds.kind import Kind

_TICK_S = 0.02
_LINES_PER_TICK = 200
"""Most lines between two looks at other requests."""


class Worker:
    """Carries out the batches of one server."""

    def __init__(self, files: Files, model: Model, batches: dict[str, Batch]) -> None:
        self._files, self._model, self._batches = files, model, batches
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, batch: Batch, kind: Kind) -> None:
        """Carry a batch out."""
        task = asyncio.get_running_loop().create_task(self._carry_out(batch, kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all that is carried out."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_out(self, batch: Batch, kind: Kind) -> None:
        await asyncio.sleep(self._model.settings().batch_validation_s)
        if batch.status == "validating":
            self._validate(batch)
        if batch.status == "in_progress":
            await self._answer(batch, kind)
        if batch.status == "cancelling":
            await asyncio.sleep(self._model.settings().batch_validation_s)
            self._end(batch, "cancelled")
        elif batch.status == "in_progress":
            is_late = batch.completed + batch.failed < len(batch.lines)
            batch.become("finalizing", time.time())
            await asyncio.sleep(self._model.settings().batch_validation_s)
            self._end(batch, "expired" if is_late else "completed")

    def _validate(self, batch: Batch) -> None:
        settings = self._model.settings()
        try:
            content = self._files.find(batch.input_file_id, batch.owner).content
        except RejectedError as error:
            batch.problems = [problem("invalid_input_file", error.problem.message)]
            batch.become("failed", time.time())
            return
        read = checked(content, batch.endpoint, settings)
        batch.lines, batch.model, batch.problems = read.lines, read.model, read.problems
        enqueued = sum(each.tokens for each in self._batches.values() if each.model == read.model and not each.is_done)
        most = settings.batch_tokens
        if not batch.problems and most is not None and enqueued + read.tokens > most:
            message = f"Enqueued token limit reached for {read.model} in organization simulated. Limit: {most:,} "
            message += "enqueued tokens. Please try again once some in_progress batches have been completed."
            batch.problems = [problem("token_limit_exceeded", message)]
        if batch.problems:
            batch.lines = []
        else:
            batch.tokens = read.tokens
        batch.become("failed" if batch.problems else "in_progress", time.time())

    async def _answer(self, batch: Batch, kind: Kind) -> None:
        """Answer lines in another order than they came, until all are answered, or it is cancelled or too late."""
        left = list(batch.lines)
        Random(batch.id).shuffle(left)  # noqa: S311 - not a secret
        began_s, done = time.time(), 0
        while done < len(left) and batch.status == "in_progress" and time.time() < batch.expires_s:
            per_s = self._model.settings().batch_lines_per_s
            due = len(left) if per_s is None else int((time.time() - began_s) * per_s)
            for line in left[done : min(due, done + _LINES_PER_TICK)]:
                batch.answered(*answer_line(self._model, kind, line.custom_id, line.body, time.time()))
                done += 1
            await asyncio.sleep(0 if done < due else _TICK_S)
        if batch.status == "in_progress":
            batch.errors += [expired_line(line.custom_id) for line in left[done:]]

    def _end(self, batch: Batch, status: str) -> None:
        for name, lines in (("output", batch.output), ("error", batch.errors)):
            if lines:
                content = b"\n".join([*lines, b""])
                file = self._files.add(f"{batch.id}_{name}.jsonl", "batch_output", content, batch.owner)
                setattr(batch, f"{name}_file_id", file.id)
        batch.output, batch.errors, batch.tokens = [], [], 0
        batch.become(status, time.time())
