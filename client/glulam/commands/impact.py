"""`glulam impact`: what contains a version or stands on it."""

import argparse

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("impact", parents=[common], help="show what contains a version or stands on it")
    parser.add_argument("reference")
    kinds = ("descendants", "stacks", "locks", "merges", "aliases")
    parser.add_argument("--of", choices=kinds, default="descendants")
    parser.add_argument("--limit", type=int, default=50)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    found = registry.impact(options.reference, options.of, options.limit)
    counts = ", ".join(
        f"{'at least ' if it['capped'] else ''}{it['count']} {kind}" for kind, it in found["counts"].items()
    )
    columns = list(found["items"][0]) if found["items"] else ["nothing"]
    table = Table(*columns)
    for item in found["items"]:
        table.add_row(*(escape(str(item[column])) for column in columns))
    output.answer(found, Group(counts, table))
