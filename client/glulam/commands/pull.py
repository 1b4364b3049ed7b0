"""`glulam pull`: bring a version into a folder."""

import argparse
from pathlib import Path

from rich.markup import escape

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.recipes import split_reference
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("pull", parents=[common], help="bring a version into a folder")
    parser.add_argument("reference", help="ns/name@version, @alias or @sha256:…; without @ the newest")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="./NAME unless said")
    parser.add_argument(
        "--accept-recalled", action="store_true", help="for its owners: a recalled version all the same"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    repository, _ = split_reference(options.reference)
    with output.transfers() as progress:
        folder = registry.pull(
            options.reference,
            options.to or Path(repository.split("/")[1]),
            progress,
            accept_recalled=options.accept_recalled,
        )
    if options.accept_recalled and any(finding.state == "recalled" for finding in registry.check(folder)):
        output.say(f"! {options.reference} is recalled: use it for nothing but to find out why")
    answer = {"folder": str(folder), "reference": options.reference}
    output.answer(answer, f"{escape(options.reference)} → [bold]{escape(str(folder))}[/], verified")
