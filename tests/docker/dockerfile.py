"""Reads docker/Dockerfile as far as the tests ask: its stages, and what each copies, runs and sets."""

import json
import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

root = Path(__file__).parents[2]


@dataclass
class Stage:
    base: str
    copied: list[tuple[str, str]] = field(default_factory=list)
    """(source in the repository, target)."""
    taken: list[tuple[str, str]] = field(default_factory=list)
    """(stage, source in it)."""
    runs: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    command: list[str] = field(default_factory=list)
    """ENTRYPOINT and CMD."""
    health: list[str] = field(default_factory=list)


def instructions() -> list[tuple[str, str]]:
    """(name, arguments), lines joined and comments left out."""
    text = re.sub(r"^\s*#.*\n", "", (root / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines if line.strip())]


@cache
def stages() -> dict[str, Stage]:
    """Raises: ValueError for an instruction that the tests do not know."""
    found: dict[str, Stage] = {}
    stage = Stage("")
    for name, rest in instructions():
        match name:
            case "FROM":
                base, _, title = rest.partition(" AS ")
                found[title] = stage = Stage(base)
            case "COPY":
                options = [word for word in rest.split() if word.startswith("--")]
                *sources, target = (word for word in rest.split() if not word.startswith("--"))
                origin = next((option.removeprefix("--from=") for option in options if "--from=" in option), None)
                if origin is None:
                    stage.copied += [(source, target) for source in sources]
                else:
                    stage.taken += [(origin, source) for source in sources]
            case "RUN":
                stage.runs.append(rest)
            case "ENV":
                stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                stage.user = rest
            case "ENTRYPOINT" | "CMD":
                stage.command += json.loads(rest)
            case "HEALTHCHECK":
                stage.health = json.loads(rest.partition("CMD ")[2])
            case "ARG" | "WORKDIR" | "EXPOSE":
                pass
            case _:
                raise ValueError(f"{name} {rest}")
    return found
