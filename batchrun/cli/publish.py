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
@click.option("--weave", metavar="TEAM/PROJECT", help="Show it in W&B Weave: calls, evaluations, a leaderboard.")
@click.option("--wandb", metavar="TEAM/PROJECT", help="Show it in W&B: config, totals, results.parquet, report.html.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Of a large run, show Weave N input rows only.")
def publish_command(run: Path, weave: str | None, wandb: str | None, sample: int | None) -> int:
    """Show a run in other systems: what they have already is not sent again, and the run is left as it is.

    Without --weave and --wandb, go where [publish] of the job says. The key comes from WANDB_API_KEY, else from
    ~/.netrc. Weave gets every request as a call, and evaluations over at most 10,000 input rows, unless --sample says
    how many rows are enough.

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
        raise click.UsageError("name where to: --weave TEAM/PROJECT, --wandb TEAM/PROJECT, or [publish] in the job")
    if summary.state == "running":
        click.echo("note: the run still goes on; what is settled so far is published", err=True)
    return publish(run, lambda line: click.echo(line, err=True), weave=wanted.weave, wandb=wanted.wandb, sample=sample)
