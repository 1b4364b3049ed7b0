"""What an attacker writes into a name, a card, a note, a tensor: each runs a script if a page takes it for its own markup.

Whichever of them runs, `window.__xss` is set; `executed` asks for it.
"""

from playwright.sync_api import Page

run = "window.__xss=(window.__xss||0)+1"
quoted = run.replace("'", "&#39;").replace('"', "&quot;")

markup = (
    f"<script>{run}</script>",
    f"<SCRIPT>{run}</SCRIPT>",
    f"<scr<script>ipt>{run}</scr</script>ipt>",
    f"<script/x>{run}</script>",
    f"<script\n>{run}</script\n>",
    f"<script>{run}//",
    f"<script src=data:text/javascript,{run}></script>",
    f"<script type=module>{run}</script>",
    f"<img src=x onerror={run}>",
    f'<img src=x onerror="{run}">',
    f"<img src=x onerror='{run}'>",
    f"<img/src=x/onerror={run}>",
    f"<img src=x:x onerror\n=\n{run}>",
    f"<image src=x onerror={run}>",
    f"<svg onload={run}>",
    f"<svg/onload={run}>",
    f"<svg><script>{run}</script></svg>",
    f"<svg><animate onbegin={run} attributeName=x dur=1s>",
    f"<svg><set onbegin={run} attributeName=x to=1>",
    f"<svg><a xlink:href='javascript:{run}'><text y=20>x</text></a></svg>",
    f"<svg><foreignObject><iframe srcdoc='<script>parent.{run}</script>'></foreignObject></svg>",
    f"<svg><style><img src=x onerror={run}></style></svg>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={run}></style></mglyph></table></mtext></math>",
    f"<math href='javascript:{run}'>x</math>",
    f"<body onload={run}>",
    f"<body onpageshow={run}>",
    f"<iframe src='javascript:parent.{run}'></iframe>",
    f"<iframe srcdoc='<script>parent.{run}</script>'></iframe>",
    f"<iframe onload={run}></iframe>",
    f"<object data='javascript:{run}'></object>",
    f"<object data='data:text/html,<script>parent.{run}</script>'></object>",
    f"<embed src='javascript:{run}'>",
    f"<video><source onerror={run}></video>",
    f"<video src=x onerror={run}></video>",
    f"<audio src=x onerror={run}></audio>",
    f"<details open ontoggle={run}>x</details>",
    f"<input autofocus onfocus={run}>",
    f"<textarea autofocus onfocus={run}></textarea>",
    f"<select autofocus onfocus={run}></select>",
    f"<a autofocus tabindex=0 onfocus={run}>x</a>",
    f"<div style=animation-name:x onanimationstart={run}>x</div>",
    f"<style>@keyframes x{{}}</style><b style='animation:x 1s' onanimationstart={run}>x</b>",
    f"<marquee onstart={run}>x</marquee>",
    f"<meta http-equiv=refresh content='0;url=javascript:{run}'>",
    f"<base href='javascript:{run}//'>",
    f"<form action='javascript:{run}'><button autofocus>x</button></form>",
    f"<button popovertarget=p>x</button><p popover id=p onbeforetoggle={run}>x</p>",
    f"<template><script>{run}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={run}>'>",
    f"<xmp><p title='</xmp><img src=x onerror={run}>'>",
    f"<!--><img src=x onerror={run}>-->",
    f"<![CDATA[><img src=x onerror={run}>]]>",
    f"<?xml version='1.0'?><img src=x onerror={run}>",
    f"<link rel=stylesheet href=x onerror={run}>",
    f"<link rel=import href='data:text/html,<script>{run}</script>'>",
    f"<isindex type=image src=1 onerror={run}>",
    f"<a href='javascript:{run}'>x</a>",
    f"<a href='&#106;avascript:{run}'>x</a>",
    f"<a href='java\tscript:{run}'>x</a>",
    f"<a href=' \x01javascript:{run}'>x</a>",
    f"<img src=x onerror={quoted}>",
    f"\uff1cscript\uff1e{run}\uff1c/script\uff1e",
    f"&lt;script&gt;{run}&lt;/script&gt;",
    f"%3Cscript%3E{run}%3C/script%3E",
    f"\\u003cscript\\u003e{run}\\u003c/script\\u003e",
    f"\\x3cscript\\x3e{run}\\x3c/script\\x3e",
)
"""Where text stands between tags."""
breakouts = ("</noscript>", '?>"', '">', "'>", "</title>", "</textarea></script>", "-->", "]]>", "</style>", "`>")
broken_out = tuple(
    f"{breakout}{body}"
    for breakout in breakouts
    for body in (
        f"<script>{run}</script>",
        f"<img src=x onerror={run}>",
        f"<svg onload={run}>",
        f"<details open ontoggle={run}>",
        f"<iframe srcdoc='<script>parent.{run}</script>'></iframe>",
        f"<input autofocus onfocus={run}>",
        f"<a href='javascript:{run}' autofocus onfocus={run}>x</a>",
    )
)
"""Out of an attribute, an element or a comment."""
attributes = tuple(
    f"{quote} {handler}={run} {rest}"
    for quote in ('"', "'", "")
    for handler, rest in (
        ("onmouseover", "x="),
        ("autofocus onfocus", "tabindex=0 x="),
        ("onerror", "src=x y="),
        ("style=animation-name:x onanimationstart", "x="),
        ("onpointerrawupdate", "x="),
    )
)
"""Another attribute beside the one that the text stands in."""
addresses = (
    f"javascript:{run}",
    f"JaVaScRiPt:{run}",
    f"javascript&colon;{run}",
    f"java\nscript:{run}",
    f"java\tscript:{run}",
    f" javascript:{run}",
    f"\x01javascript:{run}",
    f"javascript://%0a{run}",
    f"javascript:/*--></title></style></textarea></script><svg/onload='{run}'>*/{run}",
    f"data:text/html,<script>{run}</script>",
    f"data:text/html;base64,PHNjcmlwdD5wYXJlbnQuX194c3M9MTwvc2NyaXB0Pg==?{run}",
    f"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='{run}'/>",
    f"vbscript:{run}",
    f"//example.invalid/%22onerror={run}",
)
"""Where an address stands."""
markdown = (
    *(f"[x]({address})" for address in addresses if not set(address) & set("\n\t\x01")),
    *(f"![x]({address})" for address in addresses[:3]),
    f"[x]: javascript:{run}\n\n[x]",
    f"<javascript:{run}>",
    f'![x](x"onerror="{run})',
    f"[x](x 'onmouseover={run}')",
    f"``<img src=x onerror={run}>",
    f"    <img src=x onerror={run}>\n<img src=x onerror={run}>",
    f"| a |\n|---|\n| <img src=x onerror={run}> |",
    f"# <img src=x onerror={run}>",
    f"~~~<img src=x onerror={run}>\nx\n~~~",
    f'```html" onmouseover={run}\nx\n```',
    f"[![x](x)](javascript:{run})",
    f"<div>\n\n<script>{run}</script>\n\n</div>",
    f"[^1]\n\n[^1]: <img src=x onerror={run}>",
)
scripts = (
    f"</script><script>{run}</script>",
    f'"}}</script><img src=x onerror={run}>',
    f"\u2028{run}\u2029",
    f"';{run};//",
    f'";{run};//',
    f"\\';{run};//",
    f"${{{run}}}",
    f"`-{run}-`",
    f"{{{{constructor.constructor('{run}')()}}}}",
    f"{{{{ 7*7 }}}}{{% set x = 1 %}}<%= {run} %>",
    f"<!--<script>{run}//-->",
    f"__proto__[onerror]={run}",
)
"""Where text stands in a script's data, or a template of another kind is at work."""

payloads = tuple(dict.fromkeys((*markup, *broken_out, *attributes, *addresses, *markdown, *scripts)))

control_characters = dict.fromkeys((*range(0x20), 0x2028, 0x2029))


def one_line(payload: str) -> str:
    """As a name may hold it, in which nothing is allowed that ends a line or is not shown."""
    return payload.translate(control_characters)


def executed(page: Page) -> int:
    """How many of them ran on this page, or in a frame of it."""
    return sum(int(frame.evaluate("window.__xss || 0")) for frame in page.frames)
