"""Wilson's interval of a share (Wilson 1927)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Quantile of the normal distribution of a two-sided interval of 95 %.
_Z95 = 1.959963984540054


def wilson_lower(successes: NDArray[np.int64], trials: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lower end of the 95 % interval of a share (Wilson 1927), float64; `trials` are above 0.

    Examples
    --------
    >>> wilson_lower(np.array([81, 1]), np.array([263, 1])).round(4).tolist()
    [0.2553, 0.2065]
    """
    p, z2 = successes / trials, _Z95**2
    spread = _Z95 * np.sqrt(p * (1 - p) / trials + z2 / (4.0 * trials * trials))
    lower: NDArray[np.float64] = (p + z2 / (2 * trials) - spread) / (1 + z2 / trials)
    return lower.clip(0, 1)
