"""`glulam plan`: what a merge would do, as a table."""

import argparse
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from glulam.commands.output import Output, size
from glulam.commands.shared import Commands, add_recipe, recipe
from glulam.registry import Registry
from glulam.values import Parent, Plan


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("plan", parents=[common], help="show what a merge would do; nothing is queued")
    add_recipe(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    plan = registry.plan(**recipe(options))
    output.answer(plan.record, shown(plan))


def shown(plan: Plan) -> RenderableType:
    """Trunk and why it is there, branches, what was left out or replaced, warnings, cost."""
    names = {branch.digest: branch.reference for branch in plan.branches}
    because = {entry.get("digest"): entry.get("because", ()) for entry in plan.record["trunk"]}
    table = Table(title=f"on {(plan.base_model or {}).get('name', 'an unnamed base')}", title_justify="left")
    for column in ("", "adapter", "weight", "why"):
        table.add_column(column, justify="right" if column == "weight" else "left", overflow="fold")

    def add(role: str, member: Parent, why: str) -> None:
        table.add_row(role, escape(member.reference), f"{member.weight:g}", escape(why))

    for member in plan.trunk:
        needed_by = ", ".join(names.get(digest, digest[:19]) for digest in because.get(member.digest, ()))
        add("trunk", member, f"{needed_by} builds on it")
    for member in plan.branches:
        add("branch", member, "asked for")
    for member in plan.covered:
        add("covered", member, "left out: another member contains it")
    rank = plan.rank["min"] if plan.rank["min"] == plan.rank["max"] else f"{plan.rank['min']} to {plan.rank['max']}"
    cost = (
        f"{plan.modules} modules, rank {rank}, {'exact' if plan.is_exact else 'the best of that rank'}; "
        f"reads {size(plan.bytes_read)}, writes {size(plan.bytes_written)}, peak {size(plan.peak_bytes)}"
    )
    substitutions = [f"pinned: {name(entry['from'])} → {name(entry['to'])}" for entry in plan.substitutions]
    warnings = [f"[yellow]![/] {escape(name(warning))}" for warning in plan.warnings]
    return Group(table, *[escape(line) for line in substitutions], *warnings, cost)


def name(value: Any) -> str:
    """A reference, a warning's sentence, or the text itself."""
    if not isinstance(value, dict):
        return str(value)
    return str(value.get("detail") or value.get("reference") or value.get("id"))
