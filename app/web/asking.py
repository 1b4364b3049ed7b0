"""The same request in other words: a recipe as curl, as Python and as a command line, to copy."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from app.web.snippets import Snippet

folder = "./merged"


def requests(recipe: Mapping[str, Any], address: str) -> tuple[Snippet, ...]:
    """`recipe` as `POST /merges` takes it, `address` of this server."""
    return command(recipe, address), python(recipe, address), curl(recipe, address)


def command(recipe: Mapping[str, Any], address: str) -> Snippet:
    words = ["glulam", "merge"]
    words += [
        layer["adapter"] if "weight" not in layer else f"{layer['adapter']}={layer['weight']!r}"
        for layer in recipe["layers"]
    ]
    if "method" in recipe:
        words += ["--method", recipe["method"]["name"]]
        for name, value in recipe["method"].items():
            if name != "name":
                words += [
                    "--parameter",
                    f"{name}={json.dumps(value)}" if not isinstance(value, str) else f"{name}={value}",
                ]
    output = recipe.get("output", {})
    match output.get("rank"):
        case None:
            words += ["--model"] if output.get("kind") == "model" else []
        case {"energy": energy}:
            words += ["--energy", f"{energy:g}"]
        case {"default": default, "modules": modules}:
            words += ["--rank", str(default)]
            for module, rank in modules.items():
                words += ["--module-rank", f"{module}={rank}"]
        case rank:
            words += ["--rank", str(rank)]
    for name in ("dtype", "trunk"):
        words += [f"--{name}", output[name]] if name in output else []
    for repository, version in recipe.get("conflicts", {}).items():
        words += ["--pin", f"{repository}={version}"]
    for name in ("overlaps", "ancestors"):
        words += [f"--{name}", recipe[name]] if name in recipe else []
    if "publish" in recipe:
        target = recipe["publish"]
        words += ["--publish", "@".join(filter(None, (target["repository"], target.get("version"))))]
    line = shlex.join([*words, "--to", folder])
    note = "Asks for the merge, waits, and brings the result here, verified. Once before: glulam login."
    return Snippet("Command line", f"export GLULAM_URL={shlex.quote(address)}\n{line}", note)


def python(recipe: Mapping[str, Any], address: str) -> Snippet:
    layers = [
        layer["adapter"] if "weight" not in layer else (layer["adapter"], layer["weight"]) for layer in recipe["layers"]
    ]
    arguments = [f"    {layers!r},"] + [f"    {name}={value!r}," for name, value in recipe.items() if name != "layers"]
    lines = [
        "from glulam import Registry",
        "",
        f"registry = Registry({address!r})   # its token: GLULAM_TOKEN, or that of glulam login",
        "merge = registry.merge(",
        *arguments,
        ").wait()",
        f"merge.download({folder!r})",
    ]
    return Snippet("Python", "\n".join(lines))


def curl(recipe: Mapping[str, Any], address: str) -> Snippet:
    lines = [
        f"curl -fsS {shlex.quote(f'{address}/api/v1/merges')} \\",
        '  -H "Authorization: Bearer $GLULAM_TOKEN" -H "Content-Type: application/json" \\',
        f"  -d {shlex.quote(json.dumps(recipe, ensure_ascii=False, indent=2))}",
    ]
    note = "The answer has the merge's id and, once it has succeeded, its files; /api/v1/merges/plan only plans."
    return Snippet("REST", "\n".join(lines), note)
