"""The compose file: by the Compose specification, hardened, and with settings and secrets that are ours."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.docker.dockerfile import root, stages

folder = root / "docker"
files = ("compose.yaml", "compose.gpu.yaml")
compose: dict[str, Any] = yaml.safe_load((folder / "compose.yaml").read_text())
services: dict[str, dict[str, Any]] = compose["services"]
ours = ("server-1", "server-2", "worker", "migrate")


def fits_the_specification(path: Path) -> bool:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", files)
def test_the_file_fits_the_compose_specification(name: str) -> None:
    assert fits_the_specification(folder / name)


def test_a_misspelt_key_does_not(tmp_path: Path) -> None:
    misspelt = tmp_path / "compose.yaml"
    misspelt.write_text((folder / "compose.yaml").read_text().replace("depends_on:", "depend_on:"))
    assert not fits_the_specification(misspelt)


@pytest.mark.parametrize("name", services)
def test_a_container_is_hardened(name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    user = service.get("user") or stages()[service["build"]["target"]].user
    assert user.partition(":")[0] not in {"", "0", "root"}


@pytest.mark.parametrize("name", sorted(set(services) - {"migrate"}))
def test_a_container_that_stays_has_a_health_check(name: str) -> None:
    service = services[name]
    assert "healthcheck" in service or stages()[service["build"]["target"]].health


def test_what_is_named_is_there() -> None:
    for service in services.values():
        for kind in ("networks", "secrets"):
            assert set(service.get(kind, ())) <= set(compose[kind])
        for other, condition in service.get("depends_on", {}).items():
            finished = condition["condition"] == "service_completed_successfully"
            assert other in services
            assert finished == (other == "migrate")
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (folder / source).is_file() if source.startswith(".") else source in compose["volumes"]
        if "build" in service:
            assert (folder / service["build"]["context"]).resolve() == root
            assert (root / service["build"]["dockerfile"]).is_file()
            assert service["build"]["target"] in stages()


def test_only_the_proxy_is_reached_from_outside_and_on_this_machine_alone() -> None:
    assert {name for name, service in services.items() if "outside" in service["networks"]} == {"proxy"}
    assert compose["networks"]["inside"]["internal"] is True
    assert {name for name, service in services.items() if "ports" in service} == {"proxy"}
    assert all(port.startswith("127.0.0.1:") for port in services["proxy"]["ports"])


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What `make-secrets` makes."""
    script = tmp_path / "make-secrets"
    script.write_text((folder / "make-secrets").read_text())
    subprocess.run(["sh", script], check=True)
    return tmp_path / "secrets"


def test_every_secret_is_a_file_that_make_secrets_makes(secrets: Path) -> None:
    made = {path.name for path in secrets.iterdir()}
    named = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    variables = {Path(file).name for service in services.values() for file in service.get("env_file", ())}
    assert made == named | variables
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o444}
    # Docker mounts a secret under its name, not under its file's
    assert all(Path(secret["file"]).name == name for name, secret in compose["secrets"].items())


def test_secrets_are_made_once(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    again = subprocess.run(["sh", secrets.parent / "make-secrets"], capture_output=True, check=False)
    assert again.returncode != 0
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def test_no_secret_stands_in_a_variable() -> None:
    secret = {Settings.variable_of(name) for name in ("database_url", "admin_token", "s3_secret_access_key")}
    for service in services.values():
        names = set(service.get("environment", {}))
        assert not names & secret
        assert not {name for name in names if "PASSWORD" in name and not name.endswith("_FILE")}


@pytest.mark.parametrize("name", ours)
def test_the_settings_are_ours_and_the_secrets_agree(
    name: str, secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = services[name]
    mounted = tmp_path / "run"
    mounted.mkdir()
    for secret in service["secrets"]:
        (mounted / secret).write_bytes((secrets / secret).read_bytes())
    monkeypatch.chdir(tmp_path)
    for variable, value in (stages()[service["build"]["target"]].environment | service["environment"]).items():
        # `${NAME:-default}`
        given = value.partition(":-")[2].removesuffix("}") if value.startswith("${") else value
        monkeypatch.setenv(variable, given)
    assert service["environment"]["GLULAM_SECRETS_DIR"] == "/run/secrets"
    monkeypatch.setenv("GLULAM_SECRETS_DIR", str(mounted))
    settings = Settings()
    assert settings.unknown_variables() == []
    garage = dict(line.split("=", 1) for line in (secrets / "garage.env").read_text().splitlines())
    assert settings.database_url is not None
    password = (secrets / "postgres_password").read_text()
    assert settings.database_url.get_secret_value() == f"postgresql://glulam:{password}@postgres/glulam"
    assert settings.s3_access_key_id == garage["GARAGE_DEFAULT_ACCESS_KEY"]
    assert settings.s3_secret_access_key is not None
    assert settings.s3_secret_access_key.get_secret_value() == garage["GARAGE_DEFAULT_SECRET_KEY"]
    assert settings.object_store_url.startswith(f"s3://{garage['GARAGE_DEFAULT_BUCKET']}/")
    assert settings.admin_token is not None
    assert f's3_region = "{settings.s3_region}"' in (folder / "garage.toml").read_text()


def test_the_proxy_leads_to_every_server_and_to_the_store() -> None:
    lines = [line.split() for line in (folder / "haproxy.cfg").read_text().splitlines()]
    targets = {words[2] for words in lines if words[:1] == ["server"]}
    servers = {f"{name}:8000" for name in services if name.startswith("server-")}
    assert targets == servers | {"store:3900"}
