"""Swift's cache, in the memory of the one process that its proxy is: what memcached is to several. A middleware of Swift."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


class MemoryCache:
    """What Swift calls of a memcache client; the times are seconds from now, 0 is for ever."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Any, float]] = {}

    def get(self, key: str, raise_on_error: bool = False) -> Any:
        value, ends = self.entries.get(key, (None, 0.0))
        if ends and ends < time.time():
            del self.entries[key]
            return None
        return value

    def set(self, key: str, value: Any, serialize: bool = True, time: float = 0, **_options: object) -> None:
        self.entries[key] = (value, now() + time if time else 0.0)

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        value = max(0, int(self.get(key) or 0) + delta)
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        return self.incr(key, -delta, time)

    def delete(self, key: str, server_key: str | None = None) -> None:
        self.entries.pop(key, None)

    def set_multi(self, mapping: Mapping[str, Any], server_key: str, time: float = 0, **_options: object) -> None:
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: Sequence[str], server_key: str) -> list[Any]:
        return [self.get(key) for key in keys]


def now() -> float:
    return time.time()


def factory(_global_conf: dict[str, str], **_local_conf: str) -> Callable[[Application], Application]:
    cache = MemoryCache()

    def with_cache(application: Application) -> Application:
        def call(environment: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            environment["swift.cache"] = cache
            return application(environment, start_response)

        return call

    return with_cache
