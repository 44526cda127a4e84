"""How an image looks in a notebook: a bar, counts, and a map of its regions, as HTML.

It brings its own styles, runs nothing, and is legible on light and dark; texts are escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

GREEN, RED, GREY = "#1b8a6b", "#d9531e", "rgba(128,128,128,.28)"
MAX_CELLS = 4_000  # a map of more regions says nothing
CELLS_A_ROW = 64


def card(
    title: str,
    status: str,
    success: int,
    error: int,
    total: int,
    what: str,
    more: Sequence[str] = (),
    regions: Sequence[str] = (),
) -> str:
    """Returns an image as HTML.

    Args:
        title: Its name.
        status: How it stands.
        success: How many succeeded.
        error: How many failed.
        total: How many there are.
        what: Of what these are, such as "tiles".
        more: What else is said, in a line.
        regions: The colour of each region, in order; of none, there is no map.
    """
    parts = [(success, GREEN), (error, RED)]
    bars = "".join(
        f'<div style="width:{100 * number / max(1, total):.4f}%;background:{colour}"></div>'
        for number, colour in parts
    )
    failed = f' · <span style="color:{RED}">{error:,} failed</span>' if error else ""
    told = [f"{success:,} of {total:,} {escape(what)}{failed}", *map(escape, more)]
    return (
        '<div style="font:13px/1.5 system-ui,sans-serif;max-width:640px">'
        f"<div><b>{escape(title)}</b> &nbsp;{escape(status)}</div>"
        f'<div role="img" aria-label="{success + error} of {total} {escape(what)} are settled" '
        f'style="display:flex;height:8px;border-radius:4px;overflow:hidden;background:{GREY};'
        f'margin:4px 0">{bars}</div>'
        f'<div style="font-variant-numeric:tabular-nums">{" · ".join(told)}</div>'
        f"{_map(regions)}</div>"
    )


def _map(colours: Sequence[str]) -> str:
    """Returns a cell for each region, in their order."""
    if not 1 < len(colours) <= MAX_CELLS:
        return ""
    wide, high = min(len(colours), CELLS_A_ROW), -(-len(colours) // CELLS_A_ROW)
    cells = "".join(
        f'<rect x="{n % CELLS_A_ROW}" y="{n // CELLS_A_ROW}" width=".88" height=".88" '
        f'fill="{colour}"/>'
        for n, colour in enumerate(colours)
    )
    return (
        f'<svg viewBox="0 0 {wide} {high}" style="display:block;margin-top:6px;'
        f'width:{min(640, 12 * wide)}px" aria-hidden="true">{cells}</svg>'
    )
