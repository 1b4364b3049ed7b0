"""`glulam.json`: what lies in a folder that this client wrote, so that its lineage is not forgotten."""

import json
from pathlib import Path

from glulam.values import Json

record_name = "glulam.json"


def write_record(folder: Path, registry: str, kind: str, record: Json) -> None:
    """Keep what the registry said about the files in a folder; `kind` is `version` or `merge`."""
    text = json.dumps({"registry": registry, kind: record}, indent=2, ensure_ascii=False) + "\n"
    fresh = folder / f"{record_name}.part"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(folder / record_name)


def pulled_adapter(folder: Path, registry: str) -> str | None:
    """The adapter version that was pulled from this registry into a folder, as `ns/name@sha256:…`, or None."""
    try:
        body = json.loads((folder / record_name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    version = body.get("version")
    if body.get("registry") != registry or version is None or version["kind"] != "adapter":
        return None
    return f"{version['repository']}@{version['digest']}"
