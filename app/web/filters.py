"""How pages write sizes, times, digests and numbers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

longest_line = 24
"""Characters that fit beside others on a phone."""
units = ("B", "kB", "MB", "GB", "TB", "PB")


def size(bytes: int) -> str:
    """`12.3 MB`: in powers of 1000, as disks and browsers count."""
    amount, unit = float(bytes), 0
    while amount >= 999.5 and unit < len(units) - 1:
        amount, unit = amount / 1000, unit + 1
    return (
        f"{bytes} B"
        if unit == 0
        else f"{amount:.3g} {units[unit]}"
        if amount < 99.95
        else f"{amount:.0f} {units[unit]}"
    )


def count(number: int) -> str:
    """With thin spaces between groups of three digits."""
    return f"{number:,}".replace(",", "\u2009")


def plural(number: int, one: str, many: str) -> str:
    return f"{count(number)} {one if number == 1 else many}"


def time(at: datetime) -> Markup:
    """The day, and for a script that tells how long ago, the moment."""
    moment = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), f"{moment:%Y-%m-%d %H:%M:%S} UTC", f"{moment:%d %b %Y}".lstrip("0")
    )


def short(digest: str) -> str:
    """The first twelve hex digits of a digest, which its reference takes too."""
    return digest.removeprefix("sha256:")[:12]


def soft(text: str) -> Markup:
    """A name that may be broken after its slashes, dots, dashes and underscores."""
    broken = escape(text)
    for sign in "/._-":
        broken = broken.replace(sign, sign + Markup("<wbr>"))
    return broken


def reference(text: str) -> Markup:
    """A reference, its digest cut to what is enough to tell it from others; what stands after the @ is not torn."""
    name, at, selector = text.partition("@")
    shown = short(selector) if selector.startswith("sha256:") else selector
    if len(shown) > longest_line:
        return soft(f"{name}{at}{shown}")
    return soft(name) + Markup('<span class="at">{}{}</span>').format(at, shown)


def layer_name(layer: Any) -> str:
    """What a layer of a recipe is called in a line: `bob/dialogue`, or that it is hidden."""
    return layer.partition("@")[0] if isinstance(layer, str) else "hidden"


def pretty(value: Any) -> str:
    """A value of JSON, over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)


filters: dict[str, Callable[..., Any]] = {
    "size": size,
    "count": count,
    "plural": plural,
    "time": time,
    "short": short,
    "soft": soft,
    "reference": reference,
    "layer_name": layer_name,
    "pretty": pretty,
}
