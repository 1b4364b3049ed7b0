"""The demo: train a base and four adapters that stand on one another, publish them as three people, merge, pull, compare.

`make demo` runs it on a registry of its own in ./demo-data. With GLULAM_URL (and GLULAM_ADMIN_TOKEN) it uses that one.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from examples.comparison import Measured, compare
from examples.own_registry import OwnRegistry, own_registry
from examples.people import alice_pushes, bob_pushes, carol_pushes, invite
from examples.story import Story, skills, train_story
from glulam import GlulamError, Registry

stack = ["bob/dialogue@1.0.0", "carol/tool-use@1.0.0"]
merge_seconds = 120
data = Path("demo-data")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came back from the registry."""

    trunk: list[str]
    """References of the plan's trunk."""
    measured: list[Measured]


def silent(line: str) -> None:
    """Tells nobody."""


def publish_and_merge(registry: OwnRegistry, story: Story, folder: Path, tell: Tell = silent) -> Outcome:
    """Publish the story as three people, ask for `[dialogue, tool use]` as an adapter and as a model, pull both, compare."""
    tokens = {name: invite(registry.url, registry.admin_token, name) for name in ("alice", "bob", "carol")}
    with Registry(registry.url, tokens["alice"]) as alice:
        alice_pushes(alice, story)
        tell("alice pushed base and instruct with the client")
        bob_pushes(registry.url, tokens["bob"], story)
        tell("bob pushed dialogue, which builds on instruct, with curl")
        carol_pushes(registry.url, tokens["carol"], story)
        tell("carol pushed reasoning, and tool use on top of it, with plain REST")
        alice.create_repository("alice/chat", visibility="public")
        merge = alice.merge(stack, publish="alice/chat@1.0.0").wait(merge_seconds)
        trunk = [member.reference for member in merge.plan.trunk]
        tell(f"alice asked for {' and '.join(stack)}; lineage added {', '.join(trunk)}")
        adapter = alice.pull("alice/chat@1.0.0", folder / "chat")
        model = alice.merge(stack, output="model").wait(merge_seconds).download(folder / "chat-model")
        tell(f"merged and pulled as an adapter of rank {merge.plan.rank['max']}, and as a model")
    return Outcome(trunk, compare(story, adapter, model))


def table(measured: list[Measured]) -> Table:
    title = "\\[dialogue, tool use] beside the float64 sum with instruct counted once"
    # narrow enough for 80 columns
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    shown.add_column("", no_wrap=True)
    shown.add_column("max |Δ|\nlogit", justify="right")
    for skill in skills:
        shown.add_column(f"loss\n{skill.name}", justify="right")
    for row in measured:
        losses = [f"{row.losses[skill.name]:.3f}" for skill in skills]
        style = "red" if row.name.startswith("naive") else None
        shown.add_row(row.name, f"{row.logit_difference:.1e}", *losses, style=style)
    return shown


def main() -> int:
    """Returns: the exit status."""
    console = Console(highlight=False)
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {line}")

    given = os.environ.get("GLULAM_URL")
    place: AbstractContextManager[OwnRegistry]
    if given:
        place = nullcontext(OwnRegistry(given, os.environ["GLULAM_ADMIN_TOKEN"]))
    else:
        shutil.rmtree(data, ignore_errors=True)
        place = own_registry(data)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        story = train_story(folder, tell)
        with place as registry:
            tell(f"a registry answers at {registry.url}")
            try:
                outcome = publish_and_merge(registry, story, folder, tell)
            except GlulamError as error:
                console.print(f"[bold red]✗[/] {error}")
                return 1
    console.print(table(outcome.measured))
    console.print(f"[dim]{time.monotonic() - began:.0f} s[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
