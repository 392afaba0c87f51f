"""`batchrun publish`."""

from pathlib import Path

import click

from batchrun.checkpoint.reader import Checkpoint
from batchrun.job.sections import Publish
from batchrun.job.settings import SettingError
from batchrun.publish.worker import publish
from batchrun.results.run_directory import stored_job
from batchrun.results.state import summary_of


@click.command("publish")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--weave", metavar="TEAM/PROJECT", help="Publish to W&B Weave: calls, evaluations, a leaderboard.")
@click.option("--wandb", metavar="TEAM/PROJECT", help="Publish to W&B: config, totals, results.parquet, report.html.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Publish only N evenly spread input rows to Weave.")
def publish_command(run: Path, weave: str | None, wandb: str | None, sample: int | None) -> int:
    """Publish a run to W&B Weave or W&B. Nothing is sent twice, and the run itself does not change.

    Without --weave and --wandb, the run goes where [publish] in its job says. The key comes from WANDB_API_KEY, else
    from ~/.netrc. Weave gets every request as a call, and evaluations over at most 10,000 input rows. With --sample
    it gets calls and evaluations of N input rows only.

    \b
    batchrun publish runs/eval_math --weave my-team/my-project
    batchrun publish runs/eval_math --wandb my-team/my-project
    """
    summary = summary_of(run)
    try:
        wanted = Publish(weave=weave, wandb=wandb)
    except SettingError as problem:
        raise click.BadParameter(problem.must, param_hint=f"--{problem.key}") from None
    if wanted == Publish():
        with Checkpoint(run) as checkpoint:
            wanted = stored_job(checkpoint).publish
    if wanted == Publish():
        raise click.UsageError("nowhere to publish to; add --weave TEAM/PROJECT or --wandb TEAM/PROJECT")
    if summary.state == "running":
        click.echo("note: the run has not ended; what is settled so far is published", err=True)
    return publish(run, lambda line: click.echo(line, err=True), weave=wanted.weave, wandb=wanted.wandb, sample=sample)
