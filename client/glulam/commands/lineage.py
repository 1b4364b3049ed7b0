"""`glulam lineage`: what a version came from, or what came from it, as a tree."""

import argparse
from collections.abc import Callable

from rich.markup import escape
from rich.tree import Tree

from glulam.commands.output import Output
from glulam.commands.shared import Commands
from glulam.registry import Registry
from glulam.values import Edge, Lineage

words = {
    "builds_on": ("builds on", "built on by"),
    "initialized_from": ("initialized from", "continued by"),
    "merged_from": ("merged from", "merged into"),
    "extracted_from": ("extracted from", "extracted into"),
}
"""Relation → how the child says it, how the parent says it."""


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("lineage", parents=[common], help="show what a version came from, as a tree")
    parser.add_argument("reference")
    parser.add_argument("--direction", choices=("ancestors", "descendants", "both"), default="ancestors")
    parser.add_argument("--depth", type=int)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    lineage = registry.lineage(options.reference, options.direction, options.depth)
    tree = Tree(f"[bold]{escape(lineage.name(lineage.root))}[/]")
    shown: set[str] = {lineage.root}
    if options.direction != "descendants":
        grow(tree, lineage, lineage.root, lineage.parents_of, 0, shown)
    if options.direction != "ancestors":
        grow(tree, lineage, lineage.root, lineage.children_of, 1, shown)
    if lineage.is_truncated:
        output.say("there is more than one answer holds: ask with --depth")
    output.answer(lineage.record, tree)


def grow(
    tree: Tree, lineage: Lineage, node: str, edges_of: Callable[[str], list[Edge]], side: int, shown: set[str]
) -> None:
    """Hang the neighbours of a node into the tree; one that stands there already is named, and not opened again."""
    for edge in edges_of(node):
        other = edge.child if side else edge.parent
        weight = "" if edge.weight in (None, 1.0) else f" × {edge.weight:g}"
        role = f" ({edge.role})" if edge.role else ""
        again = other in shown
        label = f"[dim]{words.get(edge.relation, (edge.relation,) * 2)[side]}{role}[/] {escape(lineage.name(other))}{weight}"
        branch = tree.add(f"{label} [dim](above)[/]" if again else label)
        if not again:
            shown.add(other)
            grow(branch, lineage, other, edges_of, side, shown)
