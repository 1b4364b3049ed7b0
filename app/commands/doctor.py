"""`doctor`: looks at everything a registry stands on, and says in sentences what is wrong."""

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from app.assembly import store_of
from app.commands.database import check_database, running_database
from app.errors import CannotStart, NotReady, RegistryError
from app.settings import GIB, Settings

enough_free_bytes = 2 * GIB


def run(settings: Settings) -> int:
    """Returns 1 if anything is wrong."""
    checks: dict[str, Callable[[Settings], Iterator[str]]] = {
        "settings": check_settings,
        "database": check_the_database,
        "store": check_store,
        "device": check_device,
        "disk": check_disk,
    }
    is_healthy = True
    for name, check in checks.items():
        problems = list(check(settings))
        is_healthy = is_healthy and not problems
        for sentence in problems or ["well"]:
            print(f"{name}: {sentence}")
    return 0 if is_healthy else 1


def check_settings(settings: Settings) -> Iterator[str]:
    for name in settings.unknown_variables():
        yield f"{name} is no setting and has no effect; docs/settings.md lists them all"


def check_the_database(settings: Settings) -> Iterator[str]:
    try:
        with running_database(settings) as reachable:
            check_database(reachable)
    except (CannotStart, NotReady) as error:
        yield str(error)


def check_store(settings: Settings) -> Iterator[str]:
    try:
        yield from store_of(settings).probe()
    except (RegistryError, OSError) as error:
        yield f"{settings.object_store_url} cannot be used: {error}"


def check_device(settings: Settings) -> Iterator[str]:
    if find_spec("torch") is None:
        yield "torch is not installed, so that this machine can serve but not merge: install glulam-server[worker]"
        return
    # here alone, and not with the module: it takes seconds
    import torch

    if not settings.device.startswith("cuda"):
        return
    if not torch.cuda.is_available():
        yield f"{settings.device} is asked for, and torch {torch.__version__} finds no CUDA device"
    elif (wanted := torch.device(settings.device).index or 0) >= torch.cuda.device_count():
        yield f"{settings.device} is asked for, and there are {torch.cuda.device_count()} CUDA devices, not {wanted + 1}"


def check_disk(settings: Settings) -> Iterator[str]:
    existing = next(
        folder for folder in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents) if folder.exists()
    )
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < enough_free_bytes:
        yield f"only {free_bytes / GIB:.1f} GiB are free in {existing}"
