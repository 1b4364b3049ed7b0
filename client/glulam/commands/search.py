"""`glulam search`: find repositories."""

import argparse

from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("search", parents=[common], help="find repositories")
    parser.add_argument("text", nargs="?")
    parser.add_argument("--kind", choices=("adapter", "model", "stack"))
    for name in ("namespace", "base-model", "tag", "license", "sort"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--limit", type=int, default=50)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    names = ("kind", "namespace", "base_model", "tag", "license", "sort")
    found = registry.search(options.text, limit=options.limit, **{name: getattr(options, name) for name in names})
    table = Table("repository", "kind", "visibility", "base model", "description")
    for repository in found:
        table.add_row(
            escape(repository.name),
            repository.kind,
            repository.visibility or "",
            escape(str((repository.base_model or {}).get("name", ""))),
            escape(repository.description or ""),
        )
    output.answer([repository.record for repository in found], table)
