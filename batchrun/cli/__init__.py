"""The command line: the list of commands. Each command is one module, imported when it is called."""

import importlib

import click

from batchrun import __version__
from batchrun.cli.suggestions import SuggestingGroup

_COMMANDS = {
    "run": ("batchrun.cli.run", "run_command", "Run a job file or a file of prompts; the same command resumes."),
    "check": ("batchrun.cli.check", "check_command", "Check a job before it costs anything: rows, tokens, cost, time."),
    "init": ("batchrun.cli.init", "init_command", "Write a commented job file from the columns of an input."),
    "status": (
        "batchrun.cli.status",
        "status_command",
        "Show counts, tokens and cost of a run, also while it runs.",
    ),
    "watch": ("batchrun.cli.watch", "watch_command", "Follow a run from another terminal."),
    "show": ("batchrun.cli.show", "show_command", "Show rows in the terminal: answers, failed rows, one row in full."),
    "export": ("batchrun.cli.export", "export_command", "Rebuild the results from the checkpoint, at no cost."),
    "compare": ("batchrun.cli.compare", "compare_command", "Compare two runs or models prompt by prompt."),
    "report": ("batchrun.cli.report", "report_command", "Write one HTML page about a run."),
    "publish": ("batchrun.cli.publish", "publish_command", "Publish a run to W&B Weave or W&B."),
    "models": ("batchrun.cli.models", "models_command", "List the models that the endpoint serves, with prices."),
    "simulate": ("batchrun.simulator.command", "simulate", "Start a simulated endpoint for trying things out."),
}
"""Name → module, attribute, one line of help. The lines are here so that listing the commands imports none of them."""


class _LazyGroup(SuggestingGroup):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a new user needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="batchrun")
def cli() -> None:
    """Run a file of prompts against an OpenAI-compatible endpoint and get a table with an answer in every row.

    \b
    batchrun run jobs/label_reviews.toml
    batchrun run prompts.jsonl -m meta-llama/Llama-3.1-8B-Instruct -o runs/first
    batchrun run questions.csv -t '{{ question }}' -m MODEL -o runs/try --limit 20 --simulate

    Results go to files, messages go to stderr.

    Shell completion: put eval "$(_BATCHRUN_COMPLETE=bash_source batchrun)" in ~/.bashrc; use zsh_source for zsh,
    fish_source for fish.
    """
