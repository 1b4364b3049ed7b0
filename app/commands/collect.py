"""`collect`: drop what is over, now; the worker does the same every hour."""

from app.assembly import Services
from app.commands.database import check_database, running_database
from app.settings import Settings


def run(settings: Settings) -> int:
    """Raises: CannotStart, NotReady."""
    with running_database(settings) as reachable:
        check_database(reachable)
        services = Services.open(reachable)
        dropped = services.collecting.collect()
        services.close()
    print(", ".join(f"{count} {kind}" for kind, count in dropped.items()))
    return 0
