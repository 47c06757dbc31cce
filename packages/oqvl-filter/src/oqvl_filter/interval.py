"""95% intervals of shares."""

from __future__ import annotations

Z_95 = 1.959963984540054
"""97.5th percentile of the normal distribution, for two-sided intervals of 95%."""


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Return Wilson's (1927) 95% interval of a share that was observed in `count` samples.

    Unlike the normal approximation it stays within 0 to 1, and ten hits out of ten do not look certain.

    Args:
        share: The observed share, 0 to 1.
        count: Number of samples, above 0; an effective sample size need not be whole.
    """
    squared = Z_95**2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = Z_95 / (1 + squared / count) * (share * (1 - share) / count + squared / (4 * count**2)) ** 0.5
    return max(centre - half, 0.0), min(centre + half, 1.0)
