"""Line charts as SVG, coloured by the style sheet of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 460, 280
_LEFT, _RIGHT, _BOTTOM = 48, 12, 44
_COLORS = 4
_TICKS, _MOST_TICKS = 5, 8
_NAMES_A_ROW, _ROW = 3, 16  # of the legend, above the lines
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # between ticks, times a power of ten

Points = Sequence[tuple[float, float]]


def line_chart(series: Mapping[str, Points], *, x: str, y: str, top: float | None = None) -> str:
    """An SVG element with one line per series, in four colours in turn; the legend names the first of each colour.

    Points that are not finite are left out. `x` and `y` label the axes; the y axis goes from 0 to `top`, by default a
    round number above the greatest value.
    """
    kept = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in series.items()}
    everything = [point for points in kept.values() for point in points]
    low, high = _range([at for at, _ in everything])
    greatest = top if top is not None else _round_above(max([value for _, value in everything], default=1.0) or 1.0)
    chosen = {name: number % _COLORS for number, name in enumerate(kept)}
    named = {color: name for name, color in reversed(chosen.items())}
    head = 14 + _ROW * -(-len(named) // _NAMES_A_ROW)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - low) / (high - low)
        up = min(point[1] / greatest, 1.0)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - head - _BOTTOM)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="{escape(f"{y} by {x}")}">']
    parts += _axes(place, _ticks([at for at, _ in everything], low, high), greatest, x, y)
    for number, (color, name) in enumerate(sorted(named.items())):
        row, column = divmod(number, _NAMES_A_ROW)
        across = _LEFT + column * (_WIDTH - _LEFT - _RIGHT) / _NAMES_A_ROW
        parts.append(f'<text class="s{color}" x="{across:.0f}" y="{_ROW * (row + 1) - 3}">{escape(name)}</text>')
    for name, points in kept.items():
        line = " ".join(f"{across:.1f},{down:.1f}" for across, down in map(place, points))
        parts.append(f'<polyline class="s{chosen[name]}" points="{line}"/>')
    return "".join([*parts, "</svg>"])


def _axes(place, across: Sequence[float], greatest: float, x: str, y: str) -> list[str]:  # type: ignore[no-untyped-def]
    left, bottom = place((across[0], 0.0))
    right, _ = place((across[-1], 0.0))
    _, top = place((across[0], greatest))
    parts = [f'<path class="axis" d="M{left},{top:.1f}V{bottom}H{right}"/>']
    parts += [
        f'<text x="{place((tick, 0.0))[0]:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
        for tick in across
    ]
    for number in range(_TICKS):
        value = number / (_TICKS - 1) * greatest
        parts.append(
            f'<text x="{left - 6}" y="{place((across[0], value))[1] + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    parts.append(f'<text x="{(left + right) / 2:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="12" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 12 {middle:.0f})">{escape(y)}</text>'
    )
    return parts


def _ticks(values: Sequence[float], low: float, high: float) -> list[float]:
    """The values themselves if few, else evenly spaced positions."""
    points = sorted(set(values))
    if 2 <= len(points) <= _MOST_TICKS:
        return points
    return [low + tick / (_TICKS - 1) * (high - low) for tick in range(_TICKS)]


def _round_above(value: float) -> float:
    """The smallest round number not below a value whose ticks are round too."""
    step = value / (_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(step))
    return next(each for each in _STEPS if each * power >= step) * power * (_TICKS - 1)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low, low + 1.0)
