"""`glulam login`: keep an address and a token."""

import argparse
import getpass
import sys

from rich.markup import escape

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.credentials import Credentials, keep, resolve
from glulam.errors import InvalidArgument
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    commands.add_parser(
        "login",
        parents=[common],
        help="keep an address and a token",
        description="Asks for a token (or reads one line from stdin), checks it, and keeps it readable by you alone.",
    )


def run(options: argparse.Namespace, output: Output) -> None:
    """The token is asked for without echo: on a command line, others could read it."""
    url = resolve(options.url, None).url
    token = (getpass.getpass(f"Token for {url}: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not token:
        raise InvalidArgument("no token was given")
    with Registry(url, token) as registry:
        who = registry.whoami()
    path = keep(Credentials(url, token))
    output.answer(
        {"url": url, "user": who, "file": str(path)}, f"logged in at {escape(url)}; kept in {escape(str(path))}"
    )
