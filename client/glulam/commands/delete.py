"""`glulam delete`: delete a version or a repository."""

import argparse
import sys

from rich.markup import escape

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.errors import InvalidArgument
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "delete", parents=[common], help="delete a version (ns/name@X.Y.Z) or a repository (ns/name)"
    )
    parser.add_argument("reference")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    if not options.yes:
        if not sys.stdin.isatty():
            raise InvalidArgument("deleting needs --yes where nobody can be asked")
        output.say(f"Delete {options.reference} at {registry.url}? Its name and number are never used again. [y/N]")
        if input().strip().lower() != "y":
            raise InvalidArgument("not deleted")
    registry.delete(options.reference)
    output.answer({"deleted": options.reference}, f"deleted {escape(options.reference)}")
