"""Background textures such as grass, water, sky and wood, generated from noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Dark, middle and light colour (RGB) of each texture, and the width of its grain divided by the height.
TEXTURES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int], float]] = {
    "grass": ((38, 66, 22), (86, 124, 48), (150, 178, 92), 0.5),
    "sand": ((158, 128, 86), (206, 180, 132), (236, 220, 184), 2.0),
    "water": ((18, 58, 88), (52, 112, 146), (164, 206, 216), 4.0),
    "snow": ((178, 190, 208), (222, 230, 238), (250, 252, 255), 1.5),
    "soil": ((44, 30, 20), (96, 70, 48), (150, 118, 88), 1.0),
    "stone": ((70, 70, 68), (126, 124, 120), (186, 184, 178), 1.0),
    "wood": ((78, 46, 24), (138, 92, 52), (188, 142, 94), 8.0),
    "leaves": ((22, 44, 20), (58, 92, 36), (122, 142, 58), 1.0),
    "sky": ((82, 132, 190), (142, 182, 220), (240, 244, 250), 3.0),
}


def texture(name: str, *, size: int, rng: np.random.Generator) -> Image.Image:
    """Generate a background, one of `TEXTURES`: RGB, `size` by `size` pixels."""
    dark, middle, light, grain = TEXTURES[name]
    height = _noise(size, grain, rng)
    stops = np.array([dark, middle, light], np.float64)
    channels = [np.interp(height, (0.0, 0.5, 1.0), stops[:, channel]) for channel in range(3)]
    speckle = rng.normal(0.0, 5.0, (size, size, 1))
    return Image.fromarray(np.clip(np.stack(channels, axis=-1) + speckle, 0, 255).astype(np.uint8), "RGB")


def _noise(size: int, grain: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise in [0, 1], float64 [size, size]: octaves of random grids, each twice as fine and 0.67 times as strong."""
    total = np.zeros((size, size))
    strength, cells = 1.0, 3
    while cells < size:
        rows, columns = (max(2, round(cells * factor)) for factor in (grain**0.5, grain**-0.5))
        grid = Image.fromarray(rng.random((rows, columns)).astype(np.float32))
        total += strength * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC), np.float64)
        strength, cells = strength * 0.67, cells * 2
    low, high = np.quantile(total, (0.02, 0.98))
    clipped: NDArray[np.float64] = np.clip((total - low) / (high - low), 0, 1)
    return clipped
