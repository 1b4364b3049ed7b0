"""`glulam versions`: the versions of a repository, newest first."""

import argparse

from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output, size
from glulam.commands.shared import Commands
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("versions", parents=[common], help="list the versions of a repository")
    parser.add_argument("repository")
    parser.add_argument("--limit", type=int, default=50)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    versions = registry.versions(options.repository, options.limit)
    table = Table("version", "rank", "size", "builds on", "by", "when")
    for version in versions:
        table.add_row(
            version.version if version.state == "published" else f"{version.version} [red]{escape(version.state)}[/]",
            str((version.adapter or {}).get("rank", "")),
            size(sum(file.size for file in version.files)),
            escape(", ".join(parent.reference for parent in version.builds_on)),
            escape(version.created_by),
            escape(version.created_at[:16].replace("T", " ")),
        )
    output.answer([version.record for version in versions], table)
