"""`glulam push`: publish a folder as a version."""

import argparse
import json

from rich.markup import escape

from glulam.commands.output import Output
from glulam.commands.shared import Commands, literal, pairs, weighted
from glulam.errors import InvalidArgument
from glulam.registry import Registry


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("push", parents=[common], help="publish a folder as a version")
    parser.add_argument("repository", help="ns/name, or ns/name@X.Y.Z to number it; created if need be")
    parser.add_argument("content", nargs="+", metavar="FOLDER|FILE")
    parser.add_argument(
        "--builds-on",
        action="append",
        metavar="REFERENCE[=WEIGHT]",
        help="trained with this applied; repeatable; an empty one says: on nothing",
    )
    parser.add_argument(
        "--initialized-from", metavar="REFERENCE", help="a continued run of this version, which it replaces"
    )
    parser.add_argument(
        "--merged-from", action="append", metavar="REFERENCE[=WEIGHT]", help="a merge made elsewhere; repeatable"
    )
    parser.add_argument(
        "--base-model", metavar="NAME", help="a name, or JSON with name, revision, digest, quantization"
    )
    parser.add_argument("--kind", choices=("adapter", "model"), default="adapter", help="of a new repository")
    parser.add_argument("--visibility", choices=("public", "private"), help="of a new repository")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    parser.add_argument("--notes")
    parser.add_argument("--message", help="of the commit")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, registry: Registry, output: Output) -> None:
    repository, _, number = options.repository.partition("@")
    content = options.content[0] if len(options.content) == 1 else options.content
    with output.transfers() as progress:
        version = registry.push(
            repository,
            content,
            version=number or None,
            builds_on=parents(options.builds_on),
            initialized_from=options.initialized_from,
            merged_from=parents(options.merged_from),
            base_model=base_model(options.base_model),
            kind=options.kind,
            visibility=options.visibility,
            metrics={name: literal(value) for name, value in pairs(options.metric, "NAME=VALUE").items()} or None,
            notes=options.notes,
            message=options.message,
            progress=progress,
        )
    lines = [f"published [bold]{escape(version.reference)}[/]  {escape(version.digest)}"]
    lines += [f"  builds on {escape(parent.reference)} × {parent.weight:g}" for parent in version.builds_on]
    if version.initialized_from:
        lines.append(f"  initialized from {escape(version.initialized_from.reference)}")
    lines += [f"  [yellow]![/] {escape(warning)}" for warning in version.warnings]
    output.answer(version.record, "\n".join(lines))


def parents(entries: list[str] | None) -> list[str | tuple[str, float]] | None:
    if entries is None:
        return None
    split = [weighted(entry) for entry in entries if entry]
    return [reference if weight is None else (reference, weight) for reference, weight in split]


def base_model(text: str | None) -> str | dict[str, str] | None:
    if text is None or not text.startswith("{"):
        return text
    try:
        value: dict[str, str] = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"--base-model: {error}") from error
    return value
