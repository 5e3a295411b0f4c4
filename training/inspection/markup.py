"""Pieces of HTML.

Owns the escaping: every text that comes in is escaped here, and nowhere else.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def section(title: str, *parts: str) -> str:
    """A section with its heading; the parts are HTML already."""
    return f"<section><h2>{escape(title)}</h2>\n{chr(10).join(parts)}\n</section>"


def folded(title: str, *parts: str) -> str:
    """What most readers skip; the parts are HTML already."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def code(text: str) -> str:
    """Text whose lines and spaces stay as they are."""
    return f"<pre>{escape(text)}</pre>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; numbers stand to the right, and so do the headers above them."""
    rows = list(rows)
    kinds = [_kind(text) for text in rows[0]] if rows else [""] * len(header)
    heads = zip(header, kinds, strict=True)
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in heads)
    cells = ("".join(f"<td{_kind(text)}>{escape(text)}</td>" for text in row) for row in rows)
    body = "\n".join(f"<tr>{row}</tr>" for row in cells)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def picture(content: bytes, caption: str) -> str:
    """A picture, PNG or SVG, inside the page."""
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    data = base64.b64encode(content).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _kind(text: str) -> str:
    return ' class="failed"' if text == "FAILED" else ' class="number"' if _number(text) else ""


def _number(text: str) -> bool:
    try:
        float(text.replace(",", "").removesuffix("%"))
    except ValueError:
        return False
    return True
