"""`migrate`: bring the database's schema to this code's revision."""

from app.commands.database import running_database, url_of
from app.lineage import migrate
from app.settings import Settings


def run(settings: Settings) -> int:
    """Raises: CannotStart, NotReady."""
    with running_database(settings) as reachable:
        migrate.upgrade(url_of(reachable))
    print(f"the database stands at revision {migrate.newest()}")
    return 0
