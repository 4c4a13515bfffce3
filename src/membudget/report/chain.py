"""A reference chain as a drawing: one SVG that stands for itself, for light and dark.

Boxes below each other, as wide as a telephone's screen: 340 units, so that at 360 px a letter keeps
its size. Long steps are cut in the middle, and the whole step is the box's title.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 340
_BOX = 34
_GAP = 18
_MARGIN = 8
_LONGEST = 38
"""Letters of 13 units that fit into a box."""

_MOST = 24
"""Boxes drawn; of a longer chain those in the middle are left out."""

_STYLE = (
    ".mb-b{fill:#f4f6f8;stroke:#8a94a0}.mb-e{fill:#fdecea;stroke:#c0392b}"
    ".mb-t{fill:#1c2430;font:13px ui-monospace,Menlo,Consolas,monospace}"
    ".mb-l{stroke:#8a94a0;stroke-width:1.5;fill:none}"
    "@media(prefers-color-scheme:dark){.mb-b{fill:#1f2630;stroke:#66717f}"
    ".mb-e{fill:#3b1f1f;stroke:#e57368}.mb-t{fill:#e8edf2}.mb-l{stroke:#66717f}}"
)


def svg(chain: Sequence[str]) -> str:
    """A chain as the text of an SVG element, the root at the top and the object at the bottom.

    Args:
        chain: The steps, as `chain_to` and a census's details give them.
    """
    steps = list(chain)
    if len(steps) > _MOST:
        half = _MOST // 2
        left_out = f"… {len(steps) - _MOST + 1} more …"
        steps = [*steps[:half], left_out, *steps[-(_MOST - half - 1) :]]
    height = 2 * _MARGIN + len(steps) * _BOX + max(0, len(steps) - 1) * _GAP
    drawn = [_box(step, at, is_end=at == len(steps) - 1) for at, step in enumerate(steps)]
    label = _escaped(" → ".join(steps))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{label}" style="width:100%;max-width:{WIDTH}px;height:auto">'
        f"<style>{_STYLE}</style>{''.join(drawn)}</svg>"
    )


def _box(step: str, at: int, *, is_end: bool) -> str:
    top = _MARGIN + at * (_BOX + _GAP)
    middle = WIDTH // 2
    kind = "mb-e" if is_end and at else "mb-b"
    arrow = ""
    if at:
        tip = top - 1
        arrow = (
            f'<path class="mb-l" d="M{middle} {top - _GAP}V{tip}'
            f'M{middle - 4} {tip - 5}L{middle} {tip}L{middle + 4} {tip - 5}"/>'
        )
    return (
        f"<g><title>{_escaped(step)}</title>{arrow}"
        f'<rect class="{kind}" x="{_MARGIN}" y="{top}" width="{WIDTH - 2 * _MARGIN}" '
        f'height="{_BOX}" rx="6"/>'
        f'<text class="mb-t" x="{middle}" y="{top + _BOX // 2 + 5}" text-anchor="middle">'
        f"{_escaped(_shortened(step))}</text></g>"
    )


def _shortened(step: str) -> str:
    if len(step) <= _LONGEST:
        return step
    half = (_LONGEST - 1) // 2
    return f"{step[:half]}…{step[-half:]}"


def _escaped(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "·" for letter in text)
    return (
        shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )
