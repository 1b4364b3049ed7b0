"""`glulam recall`: pull a version out, or put it back."""

import argparse

from rich.markup import escape

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.errors import InvalidArgument
from glulam.registry import Registry
from glulam.values import Json


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "recall", parents=[common], help="recall a version, undo that, or list what is recalled"
    )
    parser.add_argument("reference", nargs="?", help="ns/name@X.Y.Z; without it the feed of recalls")
    parser.add_argument("--reason")
    parser.add_argument("--severity", choices=("low", "medium", "high", "critical"), default="high")
    parser.add_argument("--undo", metavar="ID", help="of a recall")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    if options.undo:
        registry.undo_recall(options.undo)
        output.answer({"undone": options.undo}, "undone: everything is as it was")
    elif options.reference is None:
        found = registry.recalls()
        output.answer(found, "\n".join(map(shown, found)) or "nothing that you may read is recalled")
    elif not options.reason:
        raise InvalidArgument("a recall needs a --reason: everybody whom it reaches will read it")
    else:
        made = registry.recall(options.reference, options.reason, options.severity)
        output.answer(
            made, f"recalled {escape(made['version'])}; undo it with glulam recall --undo {escape(made['id'])}"
        )


def shown(recall: Json) -> str:
    """In lines, so that the id is there whole, to be copied."""
    when = str(recall["recalled_at"])[:16].replace("T", " ")
    head = f"[bold]{escape(recall['version'])}[/] ({escape(recall['severity'])}), by {escape(recall['recalled_by'])}, {when}"
    return f"{head}\n  {escape(recall['reason'])}\n  [dim]undo: glulam recall --undo {escape(recall['id'])}[/]"
