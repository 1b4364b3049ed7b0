"""The command line: `glulam COMMAND`. Exit status: 0 done, 1 refused or failed, 2 not understood."""

import argparse
from collections.abc import Sequence

from glulam.commands import (
    alias,
    check,
    delete,
    impact,
    lineage,
    login,
    merge,
    plan,
    pull,
    push,
    recall,
    search,
    stack,
    tensors,
    versions,
    whoami,
)
from glulam.commands.output import Output
from glulam.errors import GlulamError, InvalidArgument
from glulam.registry import Registry

commands = (
    login, push, pull, merge, plan, stack, lineage, impact, versions, alias, search, whoami, tensors, recall, check, delete
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="the registry's address (else GLULAM_URL, else what `glulam login` kept)")
    common.add_argument("--json", action="store_true", dest="as_json", help="write JSON to stdout, and nothing else")
    top = argparse.ArgumentParser(prog="glulam", description="Push, trace, merge and pull LoRA adapters.")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands:
        command.add_to(subparsers, common)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns: the exit status."""
    options = parser().parse_args(arguments)
    output = Output(as_json=options.as_json)
    try:
        if options.command == "login":
            login.run(options, output)
        else:
            with Registry(options.url) as registry:
                options.run(options, registry, output)
    except InvalidArgument as error:
        output.fail(error)
        return 2
    except GlulamError as error:
        output.fail(error)
        return 1
    except OSError as error:
        output.fail(error)
        return 1
    except KeyboardInterrupt:
        output.say("interrupted; the same command goes on where this one stopped")
        return 130
    return 0
