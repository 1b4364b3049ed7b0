"""The images without an engine: what is copied is all that the commands need, in a clean folder."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.installation import free_port
from tests.docker.dockerfile import instructions, root, stages

python = "/opt/glulam/bin/python"
left_out = shutil.ignore_patterns("__pycache__", "node_modules")
builds = {"server": "server-build", "worker": "worker-build"}


@pytest.mark.parametrize("name", stages())
def test_what_a_stage_takes_is_there(name: str) -> None:
    stage = stages()[name]
    for source, _ in stage.copied:
        listed = subprocess.run(["git", "ls-files", "--", source], cwd=root, capture_output=True, text=True, check=True)
        assert listed.stdout, f"{source} is not in the repository"
    for origin, source in stage.taken:
        assert any(source in run for run in stages()[origin].runs) or source == "/srv/glulam"


def test_no_base_image_floats() -> None:
    images = dict(rest.split("=", 1) for name, rest in instructions() if name == "ARG")
    for stage in stages().values():
        name = stage.base.removeprefix("${").removesuffix("}")
        assert name in images or stage.base in stages()
    assert all(re.search(r":v?\d+\.\d+", image) for image in images.values())


@pytest.mark.parametrize("name", builds)
def test_the_extra_that_is_installed_exists(name: str) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (install,) = (run for run in stages()[builds[name]].runs if "pip install" in run)
    assert install.endswith(f"--constraint constraints.txt --editable '.[{name}]'")
    assert name in extras


def copy_sources(stage: str, target: Path) -> Path:
    """The clean folder that the image has."""
    target.mkdir()
    for source, destination in stages()[stage].copied:
        if (root / source).is_dir():
            shutil.copytree(root / source, target / destination, ignore=left_out)
        else:
            shutil.copy(root / source, target / destination)
    return target


@pytest.mark.slow
def test_server_and_worker_run_from_what_is_copied(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    run, scratch = tmp_path / "secrets", tmp_path / "scratch"
    run.mkdir()
    scratch.mkdir()
    (run / "glulam_database_url").write_text(database_url)
    (run / "glulam_admin_token").write_text("glu_of-the-test-of-the-images-0123456789")
    given = {
        "GLULAM_SECRETS_DIR": str(run),
        "GLULAM_OBJECT_STORE": (tmp_path / "objects").as_uri(),
        "GLULAM_PORT": str(port),
        "GLULAM_DEVICE": "cpu",
        "GLULAM_SHUTDOWN_SECONDS": "10",
        "OMP_NUM_THREADS": "1",
    }
    started: list[subprocess.Popen[bytes]] = []

    def begin(image: str, command: list[str]) -> "subprocess.Popen[bytes]":
        """A command of an image with this interpreter, in the image's own folder."""
        folder = tmp_path / image
        assert command[0] == python
        place = {name: value.replace("/scratch", str(scratch)) for name, value in stages()[image].environment.items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GLULAM_")}
        arguments = [word.replace(":8000", f":{port}") for word in command[1:]]
        environment = inherited | place | {"PYTHONPATH": str(folder)} | given
        started.append(subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment))
        return started[-1]

    def status(image: str, command: list[str]) -> int:
        return begin(image, command).wait(120)

    for image, build in builds.items():
        folder = copy_sources(build, tmp_path / image)
        assert status(image, [python, "-c", f"import app; assert app.__file__.startswith({str(folder)!r})"]) == 0
    server, worker = (stages()[image] for image in builds)
    try:
        assert status("server", server.health) != 0
        assert status("server", [*server.command[:-1], "migrate"]) == 0
        serving, working = begin("server", server.command), begin("worker", worker.command)
        wait_until(lambda: status("server", server.health) == 0)
        assert status("worker", worker.health) == 0
        for process in (serving, working):
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in {0, -signal.SIGTERM}
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


def wait_until(is_true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
