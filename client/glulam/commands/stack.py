"""`glulam stack`: define a stack, resolve it, see what changed, go back."""

import argparse
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output
from glulam.commands.shared import Commands, literal, pairs, weighted
from glulam.errors import InvalidArgument
from glulam.registry import Registry
from glulam.stacks import Stack
from glulam.values import Json


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("stack", help="define stacks, lock them, compare locks, roll back")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, help: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = actions.add_parser(name, parents=[common], help=help)
        found.add_argument("stack", metavar="NS/NAME")
        found.set_defaults(run=run)
        return found

    create = action("create", "define a stack, or define it anew; its locks stay")
    create.add_argument(
        "layers",
        nargs="+",
        metavar="LAYER",
        help="ns/name, 'ns/name@>=1,<2', ns/name@alias; with =WEIGHT after an @ if not 1",
    )
    create.add_argument(
        "--weight", action="append", default=[], metavar="NS/NAME=WEIGHT", help="of a layer; repeatable"
    )
    create.add_argument("--method")
    create.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE", help="of the method")
    create.add_argument("--rank", type=int, help="the best adapter of this rank, instead of the exact one")
    create.add_argument("--overlaps", choices=("refuse", "covered", "allow"))
    create.add_argument("--ancestors", choices=("refuse", "branch"))
    create.add_argument("--update", choices=("auto", "propose", "pin"), help="when upstreams change")
    create.add_argument("--visibility", choices=("public", "private"))
    action("show", "what it asks for, and its last lock")
    action("lock", "resolve it now")
    action("update", "resolve it now, and merge what comes of it").add_argument("--no-wait", action="store_true")
    difference = action("diff", "what changed from one lock to another")
    difference.add_argument("locks", metavar="A...B")
    action("rollback", "a new lock with the outcome of an earlier one").add_argument("lock", type=int)
    action("proposals", "what upstream changes would make of it")
    for name in ("accept", "reject"):
        action(name, f"{name} a proposal").add_argument("proposal", type=int)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    stack = registry.stack(options.stack)
    if options.action == "create":
        made = stack.put(
            [layer_of(text, pairs(options.weight, "NS/NAME=WEIGHT")) for text in options.layers],
            method=method_of(options),
            output=None if options.rank is None else {"kind": "adapter", "rank": options.rank},
            overlaps=options.overlaps,
            ancestors=options.ancestors,
            update=options.update,
            visibility=options.visibility,
        )
        output.answer(made, shown_stack(made))
    elif options.action == "show":
        found = stack.show()
        output.answer(found, shown_stack(found))
    elif options.action == "update":
        update(options, stack, output)
    elif options.action == "diff":
        found = stack.difference(*numbers(options.locks))
        output.answer(found, shown_difference(found))
    elif options.action == "proposals":
        proposals = stack.proposals()
        shown = [shown_outcome(it, f"proposal {it['number']} ({it['because']})") for it in proposals]
        output.answer(proposals, Group(*shown) if shown else "no proposal waits")
    elif options.action == "reject":
        stack.reject(options.proposal)
        output.answer({"rejected": options.proposal}, f"proposal {options.proposal} is rejected")
    else:
        lock = new_lock(options, stack)
        output.answer(lock, shown_lock(lock))


def new_lock(options: argparse.Namespace, stack: Stack) -> Json:
    if options.action == "accept":
        return stack.accept(options.proposal)
    return stack.rollback(options.lock) if options.action == "rollback" else stack.lock()


def update(options: argparse.Namespace, stack: Stack, output: Output) -> None:
    lock = stack.lock()
    if lock["version"] is None:
        merge = stack.merge(lock["number"])
        if not options.no_wait:
            with output.steps() as progress:
                merge.wait(progress=progress)
            lock = stack.lock_of(lock["number"])
    output.answer(lock, shown_lock(lock))


def layer_of(text: str, weights: dict[str, str]) -> dict[str, Any]:
    """A range may hold signs of equality, so that a weight stands behind `=` only where what is before it has none."""
    name, _, wanted = text.partition("@")
    weight: float | None = None
    if not any(sign in wanted for sign in "<>!~"):
        text, weight = weighted(text) if not wanted.startswith("=") else (text, None)
    if name in weights:
        weight = float(weights[name])
    return {"adapter": text} if weight is None else {"adapter": text, "weight": weight}


def method_of(options: argparse.Namespace) -> Json | None:
    parameters = {key: literal(value) for key, value in pairs(options.parameter, "KEY=VALUE").items()}
    if parameters and options.method is None:
        raise InvalidArgument("--parameter belongs to a --method")
    return {"name": options.method, **parameters} if options.method else None


def numbers(text: str) -> tuple[int, int]:
    first, dots, second = text.partition("...")
    if not (dots and first.isdigit() and second.isdigit()):
        raise InvalidArgument(f"{text!r}: two locks such as 1...2 are expected")
    return int(first), int(second)


def shown_stack(found: Json) -> RenderableType:
    table = Table()
    for column in ("adapter", "range", "weight"):
        table.add_column(column)
    for layer in found["layers"]:
        table.add_row(escape(layer.get("adapter", "hidden")), escape(layer.get("range", "")), f"{layer['weight']:g}")
    parts: list[RenderableType] = [f"[bold]{escape(found['stack'])}[/], update: {found['update']}", table]
    if found.get("problem"):
        parts.append(f"[yellow]![/] {escape(found['problem']['detail'])}")
    if found.get("lock"):
        parts.append(shown_lock(found["lock"]))
    else:
        parts.append(f"no lock yet: glulam stack lock {escape(found['stack'])} resolves it")
    return Group(*parts)


def shown_lock(lock: Json) -> RenderableType:
    merged = f"merged: {lock['reference']}" if lock["version"] else "not merged yet; whoever pulls it has it merged"
    return shown_outcome(lock, f"lock {lock['number']} ({lock['because']}), {merged}")


def shown_outcome(found: Json, title: str) -> RenderableType:
    table = Table()
    for column in ("", "version", "weight"):
        table.add_column(column)
    for layer in found["layers"]:
        table.add_row("branch", escape(name_of(layer["version"])), f"{layer['weight']:g}")
    for member in found["trunk"]:
        table.add_row("trunk", escape(name_of(member)), f"{member['weight']:g}")
    return Group(escape(title), table)


def shown_difference(found: Json) -> RenderableType:
    table = Table()
    for column in ("", "from", "to"):
        table.add_column(column)
    for layer in found["layers"]:
        ends = [
            escape(name_of(end["version"])) + f" × {end['weight']:g}" if end else ""
            for end in (layer["from"], layer["to"])
        ]
        table.add_row(f"layer {layer['layer']}", *ends)
    for member in found["trunk"]:
        ends = [escape(name_of(end)) + f" × {end['weight']:g}" if end else "" for end in (member["from"], member["to"])]
        table.add_row("trunk", *ends)
    for name in found["changed"]:
        table.add_row(escape(name), "", "changed")
    title = f"lock {found['first']} → {found['second']}"
    return Group(title, table) if table.rows else f"{title}: nothing changed"


def name_of(member: Json) -> str:
    return str(member.get("reference") or member.get("id"))
