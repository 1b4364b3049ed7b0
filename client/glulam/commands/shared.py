"""Arguments that several commands take."""

import argparse
import json
from typing import Any

from glulam.errors import InvalidArgument

Commands = Any
"""argparse's subparsers; it has no public name for their type."""


def weighted(text: str) -> tuple[str, float | None]:
    """`ns/name@1.0.0` or `ns/name@1.0.0=0.7`. Raises: InvalidArgument."""
    reference, equals, weight = text.partition("=")
    if not equals:
        return reference, None
    try:
        return reference, float(weight)
    except ValueError:
        raise InvalidArgument(f"{text!r}: {weight!r} is no weight") from None


def pairs(entries: list[str], what: str) -> dict[str, str]:
    """`key=value` entries. Raises: InvalidArgument."""
    split = [entry.partition("=") for entry in entries]
    for key, equals, value in split:
        if not (key and equals and value):
            raise InvalidArgument(f"{key}{equals}{value}: {what} expected")
    return {key: value for key, _, value in split}


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """The arguments that make a recipe."""
    parser.add_argument(
        "layers", nargs="+", metavar="LAYER", help="ns/name@version, ns/name@alias, with =WEIGHT if not 1"
    )
    parser.add_argument("--method", default=None, help="linear, the exact weighted sum, unless said")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="KEY=VALUE", help="of the method; repeatable"
    )
    parser.add_argument("--density", type=float, help="of the method: the share of elements or coordinates it keeps")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--rank", type=int, help="the best adapter of this rank, instead of the exact one")
    parser.add_argument(
        "--module-rank",
        action="append",
        default=[],
        metavar="NAME=RANK",
        help="another --rank for a module; repeatable",
    )
    form.add_argument("--energy", type=float, help="the smallest rank that keeps this share, 0 to 1")
    form.add_argument("--model", action="store_true", help="a full model: the base with everything added")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16")
    parser.add_argument("--trunk", choices=("included", "referenced"), help="what the layers stand on")
    parser.add_argument("--pin", action="append", default=[], metavar="NS/NAME=X.Y.Z", help="settle a version conflict")
    parser.add_argument("--overlaps", choices=("refuse", "covered", "allow"))
    parser.add_argument("--ancestors", choices=("refuse", "branch"))
    parser.add_argument("--publish", metavar="NS/NAME[@X.Y.Z]", help="publish the result")


def recipe(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `Registry.merge` and `Registry.plan`. Raises: InvalidArgument."""
    layers = [
        {"adapter": reference} if weight is None else {"adapter": reference, "weight": weight}
        for reference, weight in map(weighted, options.layers)
    ]
    output = {
        "kind": "model" if options.model else None,
        "rank": rank(options),
        "dtype": options.dtype,
        "trunk": options.trunk,
    }
    parameters = {key: literal(value) for key, value in pairs(options.parameter, "KEY=VALUE").items()}
    if options.density is not None:
        parameters["density"] = options.density
    if parameters and options.method is None:
        raise InvalidArgument("--parameter and --density belong to a --method")
    return {
        "layers": layers,
        "method": {"name": options.method, **parameters} if options.method else None,
        "output": {"kind": "adapter", **said}
        if (said := {key: value for key, value in output.items() if value is not None})
        else None,
        "conflicts": pairs(options.pin, "NS/NAME=X.Y.Z") or None,
        "overlaps": options.overlaps,
        "ancestors": options.ancestors,
        "publish": options.publish,
    }


def rank(options: argparse.Namespace) -> Any:
    """Of the output, as a recipe writes it. Raises: InvalidArgument."""
    modules = {name: literal(value) for name, value in pairs(options.module_rank, "NAME=RANK").items()}
    if modules and options.rank is None:
        raise InvalidArgument("--module-rank belongs to a --rank")
    if options.energy is not None:
        return {"energy": options.energy}
    return {"default": options.rank, "modules": modules} if modules else options.rank


def literal(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
