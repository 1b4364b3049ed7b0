"""`glulam merge`: ask for a merge, wait for it, and bring it here."""

import argparse
from pathlib import Path

from rich.markup import escape

from glulam.commands.output import Output
from glulam.commands.shared import Commands, add_recipe, recipe
from glulam.errors import InvalidArgument
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("merge", parents=[common], help="merge adapters with all that they stand on")
    add_recipe(parser)
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="download the result")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="stop waiting; the merge goes on")
    parser.add_argument("--no-wait", action="store_true", help="queue it and return")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    if options.no_wait and options.to:
        raise InvalidArgument("--to waits for the result; leave --no-wait out")
    merge = registry.merge(**recipe(options))
    if not options.no_wait:
        with output.steps() as progress:
            merge.wait(options.timeout, progress)
    lines = [f"merge [bold]{escape(merge.id)}[/] {escape(merge.state)}{' (made before)' if merge.is_cached else ''}"]
    if merge.reference:
        lines.append(f"  published {escape(merge.reference)}")
    if options.to:
        with output.transfers() as progress:
            merge.download(options.to, progress)
        lines.append(f"  → [bold]{escape(str(options.to))}[/], verified")
    output.answer(merge.record, "\n".join(lines))
