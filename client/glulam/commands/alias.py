"""`glulam alias`: list aliases, or move one."""

import argparse

from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.errors import InvalidArgument
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("alias", parents=[common], help="list the aliases of a repository, or move one")
    parser.add_argument("repository")
    parser.add_argument("alias", nargs="?", help="such as prod")
    parser.add_argument("version", nargs="?", help="X.Y.Z")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    if options.alias is None:
        aliases = registry.aliases(options.repository)
        table = Table("alias", "version")
        for entry in aliases:
            table.add_row(escape(str(entry.get("alias"))), escape(str(entry.get("version"))))
        output.answer(aliases, table)
        return
    if options.version is None:
        raise InvalidArgument("an alias needs a version to point to")
    moved = registry.alias(options.repository, options.alias, options.version)
    output.answer(moved.record, escape(f"{options.repository}@{options.alias} → {moved.version}"))
