"""Line charts as SVG, in the colours of the page they stand in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 460, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 14, 44
_COLORS = 4
_TICKS = 5

Points = Sequence[tuple[float, float]]


def line_chart(
    series: Mapping[str, Points], *, x: str, y: str, top: float | None = None, colors: Mapping[str, int] | None = None
) -> str:
    """An SVG element with one line a series.

    Parameters
    ----------
    series : mapping of str to sequence of (float, float)
        Points by name; those that are not finite are left out.
    x, y : str
        What the axes show.
    top : float, optional
        Upper end of the y axis, which begins at 0; by default the greatest value.
    colors : mapping of str to int, optional
        Which of four colours a series has; in turn by default. Series of one colour are named once, the first of them.
    """
    kept = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in series.items()}
    everything = [point for points in kept.values() for point in points]
    low, high = _range([at for at, _ in everything])
    greatest = top if top is not None else max([value for _, value in everything], default=1.0) or 1.0

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - low) / (high - low)
        up = min(point[1] / greatest, 1.0)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="{escape(f"{y} by {x}")}">']
    parts += _axes(place, low, high, greatest, x, y)
    named: set[int] = set()
    for number, (name, points) in enumerate(kept.items()):
        color = (colors[name] if colors else number) % _COLORS
        line = " ".join(f"{across:.1f},{down:.1f}" for across, down in map(place, points))
        parts.append(f'<polyline class="s{color}" points="{line}"/>')
        if color not in named:
            parts.append(
                f'<text class="s{color}" x="{_WIDTH - _RIGHT}" y="{_TOP + 14 * (len(named) + 1)}" text-anchor="end">'
                f"{escape(name)}</text>"
            )
            named.add(color)
    return "".join([*parts, "</svg>"])


def _axes(place, low: float, high: float, greatest: float, x: str, y: str) -> list[str]:  # type: ignore[no-untyped-def]
    left, bottom = place((low, 0.0))
    right, _ = place((high, 0.0))
    parts = [f'<path class="axis" d="M{left},{_TOP}V{bottom}H{right}"/>']
    for tick in range(_TICKS):
        share = tick / (_TICKS - 1)
        across, _ = place((low + share * (high - low), 0.0))
        _, down = place((low, share * greatest))
        parts.append(
            f'<text x="{across:.1f}" y="{bottom + 16}" text-anchor="middle">{low + share * (high - low):g}</text>'
        )
        parts.append(f'<text x="{left - 6}" y="{down + 4:.1f}" text-anchor="end">{share * greatest:.3g}</text>')
    parts.append(f'<text x="{(left + right) / 2:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text x="12" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 12 {middle:.0f})">{escape(y)}</text>'
    )
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low, low + 1.0)
