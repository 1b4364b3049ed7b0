"""Scripts and styles as Vite built them: their addresses hold a hash of their content, so that they never change."""

import gzip
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from app.errors import CannotStart

built = Path(__file__).parent / "static"
media_types = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
address = "/static/"
built_file = re.compile(r"assets/[A-Za-z0-9_.-]{1,150}")


@dataclass
class Assets:
    """A folder that `npm run build` has made."""

    folder: Path
    seen: float = 0
    """When the manifest that is in hand was written."""
    manifest: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises: CannotStart."""
        if not self.path.is_file():
            raise CannotStart(
                "the pages' scripts and styles were not built: run npm ci && npm run build in app/web, or make run"
            )

    @property
    def path(self) -> Path:
        return self.folder / ".vite" / "manifest.json"

    def current(self) -> dict[str, Any]:
        """Read again when it was built again."""
        written = self.path.stat().st_mtime
        if written != self.seen:
            self.manifest = json.loads(self.path.read_bytes())
            self.seen = written
        return self.manifest

    def url(self, source: str) -> str:
        """Of a built file, by its path in the source."""
        return address + str(self.current()[source]["file"])

    def script(self, page: str) -> Markup:
        """The tags of a page's entry `src/pages/<page>.ts`, with the styles that it imports."""
        entry = f"src/pages/{page}.ts"
        sheets = "".join(f'<link rel="stylesheet" href="{address}{sheet}">' for sheet in self.sheets(entry))
        return Markup(f'{sheets}<script type="module" src="{self.url(entry)}"></script>')  # noqa: S704 - our own file names

    def sheets(self, entry: str) -> list[str]:
        """Of an entry and of the modules that it imports, those first."""
        found = self.current()[entry]
        below = [sheet for module in found.get("imports", ()) for sheet in self.sheets(module)]
        return list(dict.fromkeys([*below, *found.get("css", ())]))

    def find(self, path: str) -> Path | None:
        """A built file; None of whatever is not one."""
        wanted = self.folder / path
        is_ours = built_file.fullmatch(path) is not None and wanted.suffix in media_types
        return wanted if is_ours and wanted.is_file() else None


assets = Assets(built)


@lru_cache(maxsize=256)
def compressed(path: Path) -> bytes:
    """What has a hash in its name is compressed once."""
    return gzip.compress(path.read_bytes(), mtime=0)
