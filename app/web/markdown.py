"""Cards as HTML: Markdown and its head, rendered, sanitised and bounded. Nothing comes out that is not allowed below."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from posixpath import normpath
from typing import Any
from urllib.parse import quote, unquote

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from app.errors import InvalidConfig
from app.formats.card import head_pattern, parse_head

longest_card = 100_000
"""Characters that are shown; the worst that can be written in so many takes some seconds, once for each card."""
most_facts = 40
longest_fact = 400
kept_cards = 64

allowed_tags = """
a abbr b blockquote br caption center code col colgroup dd del details div dl dt em figcaption figure h2 h3 h4 h5 h6 hr i img
ins kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var
"""
tags = frozenset(allowed_tags.split())
attributes: Mapping[str, frozenset[str]] = {
    "*": frozenset({"id", "title"}),
    "a": frozenset({"href"}),
    "details": frozenset({"open"}),
    "div": frozenset({"align"}),
    "img": frozenset({"src", "alt", "width", "height", "align"}),
    "ol": frozenset({"start"}),
    "p": frozenset({"align"}),
    "td": frozenset({"align", "colspan", "rowspan"}),
    "th": frozenset({"align", "colspan", "rowspan"}),
}
dropped_with_content = frozenset({"script", "style", "template", "iframe", "object", "noscript", "textarea", "title"})
numbers = frozenset({"width", "height", "colspan", "rowspan", "start"})
other_host = re.compile(r"(https?://|mailto:)[^\s\"'<>`\\\x00-\x20\x7f]+", re.IGNORECASE)
alignment = re.compile(r"text-align:\s*(left|center|right)")
nameless_image = re.compile(r"<img\b(?![^>]*\balt\s*=)", re.IGNORECASE)
prefix = "card-"
"""Of every id in a card: none of them can be one of the page's own."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a card's relative links and images may lead to, and the addresses below which a page finds them."""

    paths: frozenset[str] = frozenset()
    links: str = ""
    images: str = ""

    def path(self, address: str) -> str | None:
        """The file that a relative address means. None: it means nothing here."""
        wanted = normpath(unquote(address.partition("#")[0].partition("?")[0]))
        return wanted if wanted in self.paths else None


nothing_beside = Files()


@lru_cache(maxsize=kept_cards)
def render(text: str, files: Files = nothing_beside) -> Markup:
    """A card (README.md) as it stands on a page: a table of what its head says, its text, and a note of what is left out.

    Headings begin at h2. Links lead to other hosts, or to files beside it; images are shown from files beside it alone, because
    no page makes a browser ask another host.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    head, body = parted(text)
    kept = body[:longest_card]
    gate = Gate(files)
    cleaned = gate.clean(parser.renderer.render(prepared(kept), parser.options, {}))
    return Markup("").join([*facts_of(head), Markup(cleaned), *gate.notes(is_cut=len(kept) < len(body))])  # noqa: S704 - by nh3


def parted(text: str) -> tuple[str | None, str]:
    """(head, body) of a card; None: it has no head."""
    # the head's own reader works on bytes
    data = text.encode(errors="replace")
    match = head_pattern.match(data)
    if match is None:
        return None, text
    return match.group(1).decode(), data[match.end() :].decode()


def facts_of(head: str | None) -> Iterator[Markup]:
    """What the head says, one row for each of its members."""
    if head is None:
        return
    try:
        facts = parse_head(head.encode())
    except InvalidConfig as error:
        yield Markup('<p class="note">The head of this card cannot be read: {}.</p>').format(error.detail)
        return
    if not facts:
        return
    yield Markup('<details class="card-facts"><summary>What the head of the card says</summary><table><tbody>')
    for name, value in list(facts.items())[:most_facts]:
        yield Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(short(name), short(shown(value)))
    if len(facts) > most_facts:
        yield Markup('<tr><th scope="row">…</th><td>{} more</td></tr>').format(len(facts) - most_facts)
    yield Markup("</tbody></table></details>")


def shown(value: Any) -> str:
    """A value of the head as people write it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(entry, str | int | float) for entry in value):
        return ", ".join(str(entry) for entry in value)
    return json.dumps(value, ensure_ascii=False)


def short(text: str) -> str:
    return text if len(text) <= longest_fact else text[:longest_fact] + "…"


parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def prepared(text: str) -> list[Token]:
    """The text's tokens, with headings that fit below a page's own, ids to link to, and no style."""
    tokens = parser.parse(text)
    used: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        if token.type == "heading_open":
            # its words follow it
            slug = slug_of(tokens[place + 1].content)
            used[slug] = used.get(slug, -1) + 1
            token.attrSet("id", f"{slug}-{used[slug]}" if used[slug] else slug)
        if (style := token.attrs.pop("style", None)) is not None and (found := alignment.search(str(style))):
            token.attrSet("align", found[1])
    return tokens


def slug_of(heading: str) -> str:
    """As the hubs and GitHub make one, so that a table of contents leads where it should."""
    words = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return re.sub(r"\s", "-", words.strip())[:100]


class Gate:
    """What a card may show, and what was left out of it."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.dropped_images = 0

    def clean(self, html: str) -> str:
        return nh3.clean(
            # a picture that says nothing of itself says so to those who cannot see it
            nameless_image.sub('<img alt=""', html),
            tags=set(tags),
            clean_content_tags=set(dropped_with_content),
            attributes={tag: set(allowed) for tag, allowed in attributes.items()},
            attribute_filter=self.attribute,
            strip_comments=True,
            link_rel="nofollow noopener noreferrer",
            # of those that pass here the attributes' own rules decide
            url_schemes={"http", "https", "mailto", "data"},
            # what may be wider than the page is scrolled by keyboard, too
            set_tag_attribute_values={
                "img": {"loading": "lazy"},
                "pre": {"tabindex": "0"},
                "table": {"tabindex": "0"},
            },
        )

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        """The value that an attribute is given; None: none."""
        match name:
            case "href":
                return self.link(value)
            case "src":
                return self.image(value)
            case "id":
                return prefix + slug_of(value)
            case "align":
                return value if value in {"left", "center", "right"} else None
            case _ if name in numbers:
                return value if value.isascii() and value.isdigit() and len(value) <= 4 else None
        return value

    def link(self, address: str) -> str | None:
        if address.startswith("#"):
            return f"#{prefix}{slug_of(unquote(address[1:]))}"
        if other_host.fullmatch(address):
            return address
        path = self.files.path(address)
        return None if path is None else self.files.links + quote(path)

    def image(self, address: str) -> str | None:
        path = self.files.path(address)
        if path is None:
            self.dropped_images += 1
            return None
        return self.files.images + quote(path)

    def notes(self, *, is_cut: bool) -> Iterator[Markup]:
        if is_cut:
            yield Markup('<p class="note">The card goes on: its file has all of it.</p>')
        if self.dropped_images:
            words = "An image is" if self.dropped_images == 1 else f"{self.dropped_images} images are"
            yield Markup(
                '<p class="note">{} not shown: only images among the files of this version are, '
                "so that reading a page tells no other host of it.</p>"
            ).format(words)
