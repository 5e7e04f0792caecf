"""Utilisation against the number of GPUs, a line a fleet, as an SVG that follows a light or a dark page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 560, 20, 330
STYLE = """
    :root { --ink: #1f2933; --soft: #52606d; --grid: #d9e0e7;
            --c0: #1f2933; --c1: #b7791f; --c2: #3f7cbf; --c3: #2f6690; --c4: #16425b; --c5: #b83280; }
    @media (prefers-color-scheme: dark) {
      :root { --ink: #e4e7eb; --soft: #a7b2bf; --grid: #36424f;
              --c0: #e4e7eb; --c1: #d69e2e; --c2: #5b9be0; --c3: #7fb3e8; --c4: #b3d4f5; --c5: #ed64a6; }
    }
    text { fill: var(--soft); font-size: 13px; }
    .grid { stroke: var(--grid); }
    .line { fill: none; stroke-width: 2; }
"""


def picture(lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Args:
    lines: name -> (GPUs, share in [0, 1]), all over the same numbers of GPUs.
    """
    gpus = [count for count, _ in next(iter(lines.values()))]
    parts = [*(_row(share / 5) for share in range(6)), *(_column(count, gpus) for count in gpus)]
    ends = _apart({name: _y(points[-1][1]) for name, points in lines.items()})
    for number, (name, points) in enumerate(lines.items()):
        path = " ".join(f"{_x(count, gpus):.1f},{_y(share):.1f}" for count, share in points)
        parts.append(f'<polyline class="line" style="stroke: var(--c{number})" points="{path}"/>')
        parts.append(f'<text x="{RIGHT + 8}" y="{ends[name] + 4:.1f}" style="fill: var(--c{number})">{name}</text>')
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">GPUs, in nodes of 8</text>')
    title = "Share of the GPUs' time that trains what is kept: 1,000 trials of 7B"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title"',
            """     font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">""",
            f'  <title id="title">{title}</title>',
            f"  <style>{STYLE}  </style>",
            *(f"  {part}" for part in parts),
            "</svg>\n",
        ]
    )


def _x(gpus: int, all_gpus: Sequence[int]) -> float:
    return LEFT + (RIGHT - LEFT) * log2(gpus / all_gpus[0]) / log2(all_gpus[-1] / all_gpus[0])


def _y(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * share


def _row(share: float) -> str:
    line = f'<line class="grid" x1="{LEFT}" y1="{_y(share):.1f}" x2="{RIGHT}" y2="{_y(share):.1f}"/>'
    return line + f'<text x="{LEFT - 8}" y="{_y(share) + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>'


def _column(gpus: int, all_gpus: Sequence[int]) -> str:
    return f'<text x="{_x(gpus, all_gpus):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{gpus}</text>'


def _apart(heights: Mapping[str, float], distance: float = 16) -> dict[str, float]:
    """The same heights, moved down where two labels would overlap."""
    placed: dict[str, float] = {}
    last = -distance
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        last = max(height, last + distance)
        placed[name] = last
    return placed
