"""`glulam check`: whether what lies in a folder was recalled."""

import argparse
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.errors import InvalidArgument
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("check", parents=[common], help="test whether what lies in a folder was recalled")
    parser.add_argument("folder", type=Path)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    if not options.folder.is_dir():
        raise InvalidArgument(f"{options.folder} is no folder")
    found = registry.check(options.folder)
    table = Table("what", "state", "why")
    for finding in found:
        state = f"[bold red]{finding.state}[/]" if finding.state == "recalled" else escape(finding.state)
        table.add_row(escape(finding.name), state, escape("; ".join(str(it.get("reason")) for it in finding.recalls)))
    nothing = "no weights lie there that a registry could know"
    output.answer([asdict(finding) for finding in found], table if found else nothing)
    if any(finding.state == "recalled" for finding in found):
        # the answer is written; scripts go by the status
        raise SystemExit(1)
