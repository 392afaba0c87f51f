"""The text that `check` prints: one block for each question, its name in the left margin."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from batchrun.engine.preflight.check import Report
from batchrun.engine.preflight.estimate import Forecast
from batchrun.engine.preflight.outlook import (
    bundles_text,
    count_text,
    fallback_text,
    product_text,
    range_text,
    spent_so_far,
)
from batchrun.engine.preflight.probe import Probed
from batchrun.engine.preflight.serving import served_by
from batchrun.job.catalogue import cap_text, price_cure, price_text, usd_text
from batchrun.job.endpoint import BATCH
from batchrun.job.model import MOST_SAMPLES
from batchrun.job.sections import Job
from batchrun.prompts.kinds.asked import asked_in
from batchrun.records import RowCount
from batchrun.report.texts import counted, duration_text

_MARGIN = 10
_PROMPT_LINES = 6
_LINE_CHARACTERS = 110
_CAUSES_SHOWN = 5
_PER_MILLION = "USD per million tokens: "

_COUNTED = {
    "characters": "counted from characters",
    "tokenizer": "counted by the model's tokenizer",
    "answers": "from the usage of earlier answers",
}


def report_lines(report: Report, job: Job) -> list[str]:
    """Return the lines that `check` prints."""
    blocks = [
        ("input", _input(report)),
        *((f"row {prompt['row']}", _prompt(prompt)) for prompt in report.prompts),
        ("longest", _longest(report)),
        ("changed", [report.changed] if report.changed else []),
        ("requests", _requests(report, job)),
        ("sent to", _sent_to(report, job)),
        *(_ahead(report, job) if report.ahead.requests else _spent(report)),
        ("probe", _probes(report, job)),
        ("note", report.notes),
    ]
    return [line for name, lines in blocks for line in _block(name, lines)]


def _ahead(report: Report, job: Job) -> list[tuple[str, list[str]]]:
    return [("tokens", _tokens(report)), ("cost", _cost(report, job)), ("time", _time(report, job))]


def _spent(report: Report) -> list[tuple[str, list[str]]]:
    before = spent_so_far(report.used)
    return [("cost", [f"nothing more; {before}"])] if before else []


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"{'' if number else name:<{_MARGIN}}{line}" for number, line in enumerate(lines)]


def _input(report: Report) -> list[str]:
    more = f" and {len(report.files) - 1} more" if len(report.files) > 1 else ""
    lines = [f"{report.files[0]}{more}: {counted(report.rows, 'row')}"]
    if report.bad_rows:
        lines.append(f"{counted(report.bad_rows, 'broken row')}, to be failed in the results:")
        lines += [f"  {cause.rows:,} × {cause.example}" for cause in report.causes[:_CAUSES_SHOWN]]
        if left := report.causes[_CAUSES_SHOWN:]:
            lines.append(f"  {sum(cause.rows for cause in left):,} with {counted(len(left), 'other cause')}")
    if repeated := report.repeated:
        one, other = repeated.example
        lines.append(f"{counted(repeated.ids, 'id')} more than once, for example in rows {one:,} and {other:,}")
    return lines


def _prompt(prompt: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, content in _asked(prompt):
        text = content if isinstance(content, str) else orjson.dumps(content).decode()
        shown = [_cut(line) for line in text.strip().splitlines()]
        if len(shown) > _PROMPT_LINES:
            shown = [*shown[: _PROMPT_LINES - 1], f"… {counted(len(shown) - _PROMPT_LINES + 1, 'more line')}"]
        lines += [f"{name if number == 0 else '':<10}{line}" for number, line in enumerate(shown)]
    return lines


def _asked(prompt: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the messages of a prompt by their roles, and what else it asks by its names."""
    for name, value in asked_in(prompt).items():
        if name == "messages":
            yield from ((str(message.get("role", "")), message.get("content")) for message in value)
        else:
            yield name, value


def _cut(line: str) -> str:
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]} … ({len(line):,} characters)"


def _longest(report: Report) -> list[str]:
    if not report.longest:
        return []
    windows = {model: window for model, window in report.windows.items() if window}
    least = min(windows, key=lambda model: windows[model], default=None)
    share = "" if least is None else f"; the context window of {least} is {windows[least]:,}"
    named = ", ".join(f"{long.tokens:,} (row {long.row:,})" for long in report.longest)
    return [f"prompts of about {named} tokens{share}"]


def _requests(report: Report, job: Job) -> list[str]:
    reused = [f"{each['rows']:,} more are reused from {each['run']}, at no cost" for each in report.reused]
    if report.settled and not report.ahead.requests and not reused:
        return [f"nothing to send: {report.settled:,} of {counted(report.requests, 'request')} settled"]
    models = f" to {len(report.windows)} models" if len(report.windows) > 1 else ""
    settled = f", {report.settled:,} settled already" if report.settled else ""
    made_of = product_text(job, RowCount(report.rows, is_exact=True))
    made_of = f" ({made_of})" if made_of else ""
    lines = [f"{report.ahead.requests:,} to send{models}{settled}{made_of}{bundles_text(report.ahead)}"]
    copies = report.requests - report.settled - report.ahead.requests - sum(each["rows"] for each in report.reused)
    if copies:
        lines.append(f"{copies:,} more ask the same as others and get a copy of the answer, at no cost")
    return lines + reused


def _sent_to(report: Report, job: Job) -> list[str]:
    return [
        f"{model}: {', '.join(name if its == model else f'{name} (as {its})' for name, its in places.items())}"
        for model, places in served_by(job, report.windows).items()
    ]


def _tokens(report: Report) -> list[str]:
    ahead = report.ahead
    learned = ", assumed: there are no answers yet"
    if ahead.answers:
        learned = f", from {ahead.answers:,} answers" if ahead.answers > 1 else ", from one answer"
    elif not ahead.completion_tokens.high:
        learned = ""  # answers without text, such as embeddings
    return [
        f"{range_text(ahead.prompt_tokens, count_text)} in, {_COUNTED[report.counted_by]}",
        f"{range_text(ahead.completion_tokens, count_text)} out{learned}",
    ]


def _cost(report: Report, job: Job) -> list[str]:
    ahead, fallbacks = report.ahead, [fallback_text(each) for each in report.ahead.fallbacks]
    lines = [_model_cost(model) for model in ahead.models] if len(ahead.models) > 1 else []
    if ahead.usd is None:
        unknown = next(model.model for model in ahead.models if model.usd is None)
        return [*lines, f"not known: {price_cure(job.endpoint, unknown)}", *fallbacks]
    about = f"{range_text(ahead.usd, usd_text)} USD, most likely {usd_text(ahead.usd.likely)}"
    if before := spent_so_far(report.used):
        about += f"; {before}"
    if job.limits.max_cost_usd is not None:
        about += f"; the cap is {cap_text(job.limits.max_cost_usd)}"
    return [
        *lines,
        about,
        *([] if lines else _prices_text(ahead.models)),
        *fallbacks,
    ]


def _model_cost(model: Forecast) -> str:
    cost = "no price known" if model.usd is None else f"{range_text(model.usd, usd_text)} USD"
    return "; ".join([f"{model.model}: {cost}", *_prices_text([model])])


def _prices_text(models: Iterable[Forecast]) -> list[str]:
    prices = (" or ".join(map(price_text, each.prices)) for each in models)
    return [_PER_MILLION + price for price in prices if price]


def _time(report: Report, job: Job) -> list[str]:
    if job.endpoint.via == BATCH:
        return ["within 24 hours of each batch"]
    ahead = report.ahead
    if ahead.seconds is None:
        return ["not known: the endpoint's concurrency limit is not known yet"]
    return [f"{range_text(ahead.seconds, duration_text)} {ahead.pace}"]


def _probes(report: Report, job: Job) -> list[str]:
    lines = []
    for probed in report.probes:
        asked = f"{probed.model} at {probed.endpoint}" if probed.endpoint else probed.model
        if probed.kind is not None:
            lines.append(f"{asked}: {probed.kind}: {probed.message}")
            continue
        cost = "" if probed.usd is None else f", {usd_text(probed.usd)} USD"
        tokens = f"{probed.prompt_tokens} tokens in, {probed.completion_tokens} out"
        lines.append(f"{asked}: {tokens}, {probed.latency_s:.2f} s{cost}")
        lines += _prompt({"messages": [{"role": "answer", "content": probed.response or ""}]})
        if probed.gives_samples is not None:
            lines.append(f"{asked}: {_samples_text(job, probed)}")
    return lines


def _samples_text(job: Job, probed: Probed) -> str:
    """Return what a probe with `n` = 2 showed, and what it means for the job."""
    model = job.model
    if not probed.gives_samples:
        why = f" ({probed.samples_problem})" if probed.samples_problem else ""
        then = "; samples_per_request saves nothing there" if model.samples_per_request > 1 else ""
        return f"does not give several samples to one request (n){why}: each is a request of its own{then}"
    if model.samples_per_request > 1:
        return "gives several samples to one request (n)"
    most = min(model.num_samples, MOST_SAMPLES)
    return f"gives several samples to one request (n): with --samples-per-request {most} their prompt is paid once"
