"""`glulam recall`: pull a version out, or put it back."""

import argparse

from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.errors import InvalidArgument
from glulam.registry import Registry


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
        table = Table("version", "severity", "reason", "by", "when", "id")
        for entry in found:
            columns = ("version", "severity", "reason", "recalled_by", "recalled_at", "id")
            table.add_row(*(escape(str(entry[column])) for column in columns))
        output.answer(found, table)
    elif not options.reason:
        raise InvalidArgument("a recall needs a --reason: everybody whom it reaches will read it")
    else:
        made = registry.recall(options.reference, options.reason, options.severity)
        output.answer(made, f"recalled {escape(made['version'])}; undo with --undo {escape(made['id'])}")
