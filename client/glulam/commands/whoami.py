"""`glulam whoami`: who the registry takes you for."""

import argparse

from rich.markup import escape

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("whoami", parents=[common], help="show who you are to the registry")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    who = registry.whoami()
    output.answer(who, escape(f"{who.get('name') or who.get('user')} at {registry.url}"))
