"""`python -m app COMMAND`: everything an operator does. Each command's modules are imported when it runs."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from app import logs
from app.commands import supervision
from app.errors import CannotStart, NotReady
from app.settings import Settings

queue_names = ("merge", "chores")

commands = {
    "up": "server, worker and the embedded database, in the foreground",
    "serve": "the server alone; any number of them may share a database and a store",
    "work": "a worker alone; any number of them, with or without a GPU",
    "migrate": "bring the database's schema to this version",
    "collect": "drop what has expired, and files that nothing needs any more",
    "doctor": "check settings, database, store and device, and say what is wrong",
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app", description="Glulam, a registry for stackable adapters.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, description in commands.items():
        subparser = subparsers.add_parser(name, help=description, description=description)
        if name == "work":
            subparser.add_argument(
                "--queues", type=queues, default=list(queue_names), metavar="NAMES", help="merge,chores (default: both)"
            )
        if name == "serve":
            subparser.add_argument(supervision.listening_at, type=int, help=argparse.SUPPRESS)
        if name in {"serve", "work"}:
            subparser.add_argument(supervision.stop_with_parent, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def queues(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in queue_names]:
        raise argparse.ArgumentTypeError(f"no queue {unknown[0]!r}; there are: {', '.join(queue_names)}")
    return names


def given(options: argparse.Namespace) -> dict[str, Any]:
    """What a command takes besides the settings."""
    return {name: value for name, value in vars(options).items() if name in {"queues", "listening_at"}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 with the reason on standard error."""
    options = parse(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = Settings.variable_of(str(problem["loc"][0])) if problem["loc"] else "settings"
            print(f"{name}: {problem['msg']}", file=sys.stderr)
        return 1
    logs.configure(settings.log_format, settings.log_level)
    for name in settings.unknown_variables():
        logging.getLogger(__name__).warning("%s is no setting and has no effect", name)
    if getattr(options, "stop_with_parent", False):
        supervision.watch_parent()
    command = import_module(f"app.commands.{options.command}")
    try:
        status: int = command.run(settings, **given(options))
    except (CannotStart, NotReady) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
