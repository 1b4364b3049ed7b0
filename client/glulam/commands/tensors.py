"""`glulam tensors`: what an adapter changes, module by module, without downloading it."""

import argparse

from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("tensors", parents=[common], help="show the modules of a version")
    parser.add_argument("reference")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    rows = registry.tensors(options.reference)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns)
    for row in rows:
        table.add_row(*[escape(str(row.get(column, ""))) for column in columns])
    output.answer(rows, table)
