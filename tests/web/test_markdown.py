"""Cards: what Markdown becomes, what is dropped, and that no card takes the server's time or memory."""

import re
from html.parser import HTMLParser

import pytest

from app.web.markdown import Files, attributes, longest_card, prefix, render, tags
from tests.web.payloads import payloads

beside = Files(frozenset({"docs/use.md", "images/a plot.png", "README.md"}), "/files/", "/images/")


class Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Title", f'<h2 id="{prefix}title">Title</h2>'),
        ("###### Deep", f'<h6 id="{prefix}deep">Deep</h6>'),
        ("# Two\n\n# Two", f'<h2 id="{prefix}two-1">Two</h2>'),
        ("**b** *i* `c` ~~s~~", "<strong>b</strong> <em>i</em> <code>c</code> <s>s</s>"),
        ("```python\na < b\n```", "<code>a &lt; b\n</code>"),
        (
            "[a](https://example.org/x?y=1)",
            '<a href="https://example.org/x?y=1" rel="nofollow noopener noreferrer">a</a>',
        ),
        ("[a](docs/use.md)", '<a href="/files/docs/use.md"'),
        ("[a](./docs/../docs/use.md#top)", '<a href="/files/docs/use.md"'),
        ("[a](#how-to)", f'<a href="#{prefix}how-to"'),
        ("![a](images/a%20plot.png)", '<img src="/images/images/a%20plot.png" alt="a" loading="lazy">'),
        (
            '<img src="images/a plot.png" width="80">',
            '<img alt="" src="/images/images/a%20plot.png" width="80" loading="lazy">',
        ),
        ("|a|\n|-:|\n|1|", '<td align="right">1</td>'),
        (
            "<details><summary>More</summary>\n\nText\n\n</details>",
            "<details><summary>More</summary>\n<p>Text</p>\n</details>",
        ),
        ("a<!-- nobody reads this -->b", "<p>ab</p>"),
    ],
)
def test_markdown_becomes(text: str, expected: str) -> None:
    assert expected in render(text, beside)


@pytest.mark.parametrize(
    "text",
    [
        "[a](javascript:alert(1))",
        "<a href=' javascript:alert(1)'>a</a>",
        "<a href='java\tscript:alert(1)'>a</a>",
        "<a href='data:text/html,x'>a</a>",
        "<a href='//example.org/'>a</a>",
        "<a href='/\\example.org/'>a</a>",
        "<a href='/settings/tokens'>a</a>",
        "[a](../../other/file.md)",
        "[a](missing.md)",
    ],
)
def test_a_link_leads_to_other_hosts_openly_or_to_a_file_beside_the_card(text: str) -> None:
    assert [values.get("href") for tag, values in Tags(render(text, beside)).found if tag == "a"] in ([], [None])


@pytest.mark.parametrize(
    "text",
    [
        "![a](https://example.org/a.png)",
        "![a](//example.org/a.png)",
        "![a](data:image/png;base64,iVBORw0KGgo=)",
        "<img src=https://example.org/a.png>",
        "<img srcset='https://example.org/a.png 2x'>",
        "<picture><source srcset=https://example.org/a.png></picture><img src='missing.png'>",
        "<video poster=https://example.org/a.png src=https://example.org/a.mp4></video><img src=x>",
    ],
)
def test_no_picture_is_fetched_from_another_host_and_the_reader_is_told(text: str) -> None:
    shown = render(text, beside)
    assert "example.org" not in shown
    assert "src=" not in shown
    assert ("not shown" in shown) == ("src=" in text or "![" in text)


def test_a_head_is_a_table_and_no_part_of_the_text() -> None:
    shown = render("---\nlicense: mit\ntags: [a, <b>]\nmodel-index:\n- x: 1\n---\n# Card\n")
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', shown)
    assert rows == [("license", "mit"), ("tags", "a, &lt;b&gt;"), ("model-index", "[{&#34;x&#34;: 1}]")]
    assert "license: mit" not in shown
    assert shown.endswith("Card</h2>\n")


@pytest.mark.parametrize("head", ["a: &x 1\nb: *x", "a: !!python/object:os.system 1", "[", "- a"])
def test_a_head_that_cannot_be_read_is_said_to_be_so(head: str) -> None:
    shown = render(f"---\n{head}\n---\nText")
    assert "cannot be read" in shown
    assert "<p>Text</p>" in shown


@pytest.mark.parametrize(
    "around", ["{}", "# {}", "`{}`", "[{}](x)", "![{}](x)", "- {}", "|{}|\n|-|\n|{}|", "> {}", "<p>{}</p>"]
)
def test_only_what_is_allowed_comes_out_of_any_payload(around: str) -> None:
    allowed = {"*": attributes["*"] | {"rel", "loading", "tabindex", "class", "scope"}}
    for payload in payloads:
        shown = render(around.replace("{}", payload), beside)
        for tag, values in Tags(shown).found:
            assert tag in tags, (payload, tag)
            assert set(values) <= attributes.get(tag, frozenset()) | allowed["*"], (payload, values)
            assert values.get("id") is None or str(values["id"]).startswith(prefix)
            assert re.fullmatch(r"#card-.*|https?://.*|mailto:.*|/files/.*", values.get("href") or "#card-", re.S), (
                payload
            )
            assert str(values.get("src") or "/images/").startswith("/images/"), payload


@pytest.mark.parametrize("text", ["# " + payload for payload in ('"><b>', "<i>", "a'b")])
def test_an_id_is_made_of_letters(text: str) -> None:
    ids = [values["id"] for _, values in Tags(render(text)).found if "id" in values]
    assert all(re.fullmatch(r"[\w-]+", str(id)) for id in ids)


worst = {
    "brackets": "[",
    "images": "![",
    "closing brackets": "]",
    "emphasis": "*a_ ",
    "strong": "**a *b ",
    "quotes": "> ",
    "deep quotes": ">",
    "ticks": "`a``",
    "comments": "<!--",
    "declarations": "<!A ",
    "instructions": "<?",
    "sections": "<![CDATA[",
    "tags": "<a ",
    "open tags": "<div>",
    "open tags of text": "<b>",
    "links": "[a](b",
    "titles": '[a](b "',
    "lists": "* ",
    "definitions": "[a]: u\n",
    "tables": "|",
    "entities": "&amp;",
    "escapes": "\\",
    "strikes": "~~a",
    "images in tags": "<img ",
    "heads": "---\n",
}


@pytest.mark.parametrize("name", sorted(worst))
@pytest.mark.timeout(120)
def test_the_worst_card_comes_to_an_end(name: str) -> None:
    """In a second; what grows with the square of the length takes hours, which the time limit ends."""
    piece = worst[name]
    shown = render(piece * (longest_card // 4 // len(piece)))
    assert len(shown) < 20 * longest_card


def test_a_card_that_is_too_long_is_cut_and_said_to_be() -> None:
    shown = render("word " * longest_card)
    assert len(shown) < 1.1 * longest_card
    assert "The card goes on" in shown
