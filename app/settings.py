"""Every setting, its default and its unit. Read in `assembly` and `__main__` only; described in docs/settings.md."""

import os
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from dotenv import dotenv_values
from pydantic import DirectoryPath, Field, PositiveFloat, PositiveInt, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

KIB, MIB, GIB = 1024, 1024**2, 1024**3

client_variables = frozenset({"GLULAM_URL", "GLULAM_TOKEN"})
"""Variables with our prefix that the `glulam` client reads, and no server does."""


class Visibility(StrEnum):
    PUBLIC = "public"
    PRIVATE = "private"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class Settings(BaseSettings):
    """From `GLULAM_*` variables, else a `.env` file in the working folder, else files of `secrets_dir`, else the defaults here.

    Raises: pydantic.ValidationError naming the variable that is wrong.
    """

    model_config = SettingsConfigDict(
        # a .env file also holds what other programs read
        env_prefix="GLULAM_",
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
    )

    secrets_dir: DirectoryPath | None = None
    """Each file in it that is named like a variable holds its value: what Docker, Kubernetes and systemd make of secrets."""
    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    """`postgresql://…`; without one the embedded Postgres in the data folder. Secret: it holds a password."""
    object_store: str | None = None

    s3_endpoint_url: str | None = None
    s3_public_endpoint_url: str | None = None
    """Where clients reach the same store, if not at `s3_endpoint_url`."""
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_addressing_style: Literal["path", "virtual"] = "path"
    direct_transfers: bool = True
    """Clients send parts to S3, and fetch files from it, themselves; else all bytes pass through the server."""

    admin_token: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    public_url: str | None = None
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    default_visibility: Visibility = Visibility.PRIVATE
    anonymous_read: bool = True
    allow_insecure_sign_in: bool = False
    """Sign-in by cookie over plain http on a host that is not loopback."""
    session_seconds: PositiveInt = 14 * 24 * 3600
    """A browser stays signed in for so long."""

    max_upload_bytes: PositiveInt = 64 * GIB
    max_form_bytes: PositiveInt = 16 * GIB
    max_body_bytes: PositiveInt = 1 * MIB
    """Of a JSON body."""
    max_files: PositiveInt = 1_000
    """In one version."""
    upload_part_bytes: int = Field(16 * MIB, ge=64 * KIB)
    max_concurrent_uploads: PositiveInt = 32
    """In one server, and as many again that are being completed; each takes a thread."""
    upload_chunk_seconds: PositiveFloat = 60
    """A mebibyte of an upload, or the rest of it, arrives within that."""
    upload_lease_seconds: PositiveInt = 24 * 3600
    download_url_seconds: int = Field(300, ge=1, le=7 * 24 * 3600)
    """How long a client that was sent to S3 for a file may begin to fetch it."""
    receipt_seconds: PositiveInt = 24 * 3600
    xet_generation_days: PositiveInt = 30
    """So often Xet clients send all chunks anew; what they sent is kept for one to two of these spans."""
    idempotency_seconds: PositiveInt = 24 * 3600
    max_plan_members: PositiveInt = 1_024
    """Trunk and branches of one merge together."""
    max_plan_written_bytes: PositiveInt | None = None
    """Of one merge's result; None: no limit, as below."""
    max_plan_peak_bytes: PositiveInt | None = None
    """Memory that one merge is expected to take."""
    max_namespace_bytes: PositiveInt | None = None
    """What one namespace may hold."""
    requests_per_minute: PositiveInt | None = None
    """Of one token, or of one address without a token, in one server process."""
    # each process counts requests for itself
    server_processes: PositiveInt = Field(
        default_factory=lambda given: 1 if given.get("requests_per_minute") else min(4, os.cpu_count() or 1)
    )
    """That `up` runs, on one port."""
    max_page_size: PositiveInt = 200
    default_page_size: PositiveInt = 50
    merge_cache_bytes: PositiveInt = 64 * GIB
    """What results that were not published may take up together."""
    collection_grace_seconds: PositiveFloat = 24 * 3600
    """An object that nothing needs, and a deleted repository, are kept for so long."""

    outbound_networks: str = ""
    """Networks that are not public and that webhooks may lie in all the same: `10.0.0.0/8,192.168.1.7/32`."""
    outbound_seconds: PositiveFloat = 10
    """A webhook's receiver answers within that."""

    database_pool_size: PositiveInt = 10
    """Connections that one process keeps."""
    database_statement_seconds: PositiveFloat = 30
    database_lock_seconds: PositiveFloat = 5

    worker_heartbeat_seconds: PositiveFloat = 5
    worker_stalled_seconds: PositiveFloat = 30
    """Without a heartbeat for so long a worker is taken for dead and its jobs are started again."""
    shutdown_seconds: PositiveFloat = 30
    """From SIGTERM until whatever still runs is stopped by force."""

    log_format: LogFormat = LogFormat.CONSOLE
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """pydantic's own order; the folder of secrets is itself a setting."""
        given = (init_settings, env_settings, dotenv_settings)
        folder = next((values["secrets_dir"] for source in given if (values := source()).get("secrets_dir")), None)
        # pydantic only warns of a folder that is not there; without it here, the field's own check refuses it
        exists = folder is not None and Path(folder).is_dir()
        return (*given, SecretsSettingsSource(settings_cls, secrets_dir=folder if exists else None))

    @model_validator(mode="after")
    def check_agreement(self) -> Self:
        if self.worker_stalled_seconds < 3 * self.worker_heartbeat_seconds:
            # one late heartbeat must not make a living worker look dead
            raise ValueError("worker_stalled_seconds must be at least three times worker_heartbeat_seconds")
        for network in self.allowed_networks:
            ip_network(network)
        if self.default_page_size > self.max_page_size:
            raise ValueError("default_page_size is larger than max_page_size")
        return self

    @property
    def allowed_networks(self) -> list[str]:
        """Of `outbound_networks`, one by one."""
        return [network.strip() for network in self.outbound_networks.split(",") if network.strip()]

    @property
    def object_store_url(self) -> str:
        """Where files lie: `s3://bucket/prefix` or `file:///folder`."""
        return self.object_store or (self.data_dir.absolute() / "objects").as_uri()

    @property
    def postgres_dir(self) -> Path:
        """The folder of the embedded Postgres."""
        return self.data_dir / "postgres"

    @property
    def admin_token_path(self) -> Path:
        return self.data_dir / "admin-token"

    @classmethod
    def variable_of(cls, field: str) -> str:
        """`GLULAM_DATA_DIR` of `data_dir`."""
        return f"{cls.model_config['env_prefix']}{field}".upper()

    def unknown_variables(self) -> list[str]:
        """What the three sources set that looks like a setting and is none: misspelt, most likely."""
        known = {self.variable_of(field) for field in type(self).model_fields} | client_variables
        files = [] if self.secrets_dir is None else os.listdir(self.secrets_dir)
        given = {name.upper() for name in (*os.environ, *dotenv_values(".env"), *files)}
        return sorted(name for name in given - known if name.startswith("GLULAM_"))
