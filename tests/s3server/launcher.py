"""OpenStack Swift with its S3 interface on loopback, in the foreground; runs in Swift's own environment.

    python launcher.py FOLDER ACCESS_KEY SECRET_KEY PROXY_PORT ACCOUNT_PORT CONTAINER_PORT OBJECT_PORT

One process per server, all of them in this process group. Everything that is kept lies in FOLDER, which must be on a file
system with user extended attributes; started again on it, Swift goes on with what was acknowledged. It ends with SIGTERM
or when its standard input closes. S3 clients sign in as `test:ACCESS_KEY`, in the region us-east-1, path style.
"""

import os
import pwd
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import swift.common.utils

servers = ("proxy", "account", "container", "object")

swift_conf = """
[swift-hash]
swift_hash_path_prefix = test
swift_hash_path_suffix = test
"""

server_conf = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}/conf
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
log_level = ERROR
client_timeout = 60
"""

storage_conf = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

object_conf = """
disk_chunk_size = 1048576
network_chunk_size = 262144
"""

filters = ("catch_errors", "gatekeeper", "listing_formats", "bulk", "copy", "slo", "dlo", "symlink")

proxy_conf = """
[pipeline:main]
pipeline = catch_errors gatekeeper memory_cache listing_formats bulk s3api tempauth copy slo dlo symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
object_chunk_size = 262144
client_chunk_size = 262144
# one device alone: a proxy that gave it a rest after an error would have nowhere to go
error_suppression_limit = 1000000
[filter:memory_cache]
paste.filter_factory = memory_cache:factory
[filter:tempauth]
use = egg:swift#tempauth
user_test_{access_key} = {secret_key} .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
cors_preflight_allow_origin = *
max_upload_part_num = 10000
"""


def configure(folder: Path, access_key: str, secret_key: str, ports: dict[str, int]) -> None:
    """Write the configuration and, the first time, the rings: one device, one replica."""
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (folder / "devices" / "d1").mkdir(parents=True, exist_ok=True)
    (conf / "swift.conf").write_text(swift_conf)
    user = pwd.getpwuid(os.getuid()).pw_name
    for kind, port in ports.items():
        text = server_conf.format(port=port, user=user, folder=folder)
        if kind == "proxy":
            text += proxy_conf.format(access_key=access_key, secret_key=secret_key)
            text += "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in filters)
        else:
            text += storage_conf.format(kind=kind) + (object_conf if kind == "object" else "")
        (conf / f"{kind}-server.conf").write_text(text)
    swift.common.utils.SWIFT_CONF_FILE = str(conf / "swift.conf")
    # after the line above: a ring is made with the hash of this installation
    from swift.common.ring import RingBuilder

    for kind in servers[1:]:
        path = conf / f"{kind}.ring.gz"
        if path.exists():
            continue
        device = {"id": 0, "region": 1, "zone": 1, "weight": 1, "device": "d1", "ip": "127.0.0.1", "port": ports[kind]}
        builder = RingBuilder(part_power=1, replicas=1, min_part_hours=1)
        builder.add_dev(device | {"replication_ip": "127.0.0.1", "replication_port": ports[kind]})
        builder.rebalance()
        builder.get_ring().save(str(path))


def serve(kind: str, conf: Path) -> int:
    """One of the servers, until it is stopped. Returns: its exit status."""
    from swift.common.wsgi import run_wsgi

    options: dict[str, Callable[..., None]] = {}
    if kind == "object":
        from swift.obj.server import global_conf_callback

        options["global_conf_callback"] = global_conf_callback
    return int(run_wsgi(str(conf / f"{kind}-server.conf"), f"{kind}-server", **options))


def end_with_parent() -> None:
    """Whoever started us holds the other end of our standard input, and is gone when it closes."""
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    folder, access_key, secret_key, *numbers = sys.argv[1:]
    ports = dict(zip(servers, map(int, numbers), strict=True))
    configure(Path(folder), access_key, secret_key, ports)
    # else each server would leave the process group, and outlive a kill of the group
    os.setsid = lambda: None
    children = []
    for kind in reversed(servers):
        child = os.fork()
        if child == 0:
            os.close(sys.stdin.fileno())
            os._exit(serve(kind, Path(folder) / "conf"))
        children.append(child)

    def stop(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=end_with_parent, daemon=True).start()
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
