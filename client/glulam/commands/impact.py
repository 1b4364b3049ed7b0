"""`glulam impact`: what contains a version or stands on it."""

import argparse

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.registry import Registry

singular = {
    "descendants": "descendant", "stacks": "stack", "locks": "lock", "merges": "merge", "aliases": "alias"
}  # fmt: skip


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("impact", parents=[common], help="show what contains a version or stands on it")
    parser.add_argument("reference")
    parser.add_argument("--of", choices=tuple(singular), default="descendants")
    parser.add_argument("--limit", type=int, default=50)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    found = registry.impact(options.reference, options.of, options.limit)
    counts = ", ".join(
        f"{'at least ' if it['capped'] else ''}{it['count']} {kind if it['count'] != 1 else singular[kind]}"
        for kind, it in found["counts"].items()
    )
    if not found["items"]:
        output.answer(found, counts)
        return
    # a digest is for scripts
    columns = [column for column in found["items"][0] if column != "digest"]
    table = Table(*columns)
    for item in found["items"]:
        table.add_row(*(escape(str(item[column])) for column in columns))
    output.answer(found, Group(counts, table))
