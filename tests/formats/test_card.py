"""The head of a README: plain data, or refused."""

import pytest

from app.errors import InvalidConfig
from app.formats.card import read_card


def test_a_head_is_plain_data() -> None:
    readme = b"\xef\xbb\xbf---\r\ntags: [a, 7]\r\nreleased: 2026-11-21\r\nscore: .nan\r\n---\r\n# Title\n---\nnot: this\n---\n"
    assert read_card(readme) == {"tags": ["a", 7], "released": "2026-11-21", "score": "nan"}
    assert read_card(b"# Title\n---\nnot: this\n---\n") == {}
    assert read_card(b"---\n---\n") == {}


@pytest.mark.parametrize(
    "head",
    [
        b"a: [",
        b"- a\n- b",
        b"a: &x [1]\nb: *x",
        b"a: !!python/object/apply:os.system [ls]",
        b"a: " + b"[" * 20 + b"]" * 20,
        b"a: [" + b"1," * 6000 + b"1]",
        b"a: " + b"x" * 70_000,
        b'a: "\\0"',
        b"a: \xff",
        b"a: !!bool maybe",
        b'a: !!int ""',
        b"a: !!timestamp foo",
        b"a: !!str b",
        b"a: ! b",
        b"!!map {a: b}",
        b"a: 1" + b":59" * 400 + b".5",
        b"a: 0x" + b"f" * 4000,
        b"0x" + b"f" * 4000 + b": a",
        b'"a\\0": b',
        b'"\\ud800": b',
        b'a: {"\\ud800": b}',
        b'a: "\\U00110000"',
        b"a: =",
        b"[a]: b\n? {c: d}\n: e",
    ],
    ids=range(24),
)
def test_what_is_no_plain_data_is_refused(head: bytes) -> None:
    with pytest.raises(InvalidConfig):
        read_card(b"---\n" + head + b"\n---\n")
