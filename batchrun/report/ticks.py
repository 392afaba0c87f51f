"""Positions and texts of the ticks of an axis. Pure."""

import math


def count_ticks(top: float) -> list[float]:
    """Return a few round numbers from 0 to at least `top`."""
    if top <= 0:
        return [0.0, 1.0]
    size = 10 ** math.floor(math.log10(top / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor * 4 >= top * 0.999)
    return [number * step for number in range(math.ceil(top / step * 0.999) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return decimal logarithms of round numbers between the ends: more per decade if there are few decades."""
    factors = (1, 1.5, 2, 3, 5, 7) if high - low <= 1 else (1, 2, 5) if high - low <= 3 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [decade + math.log10(factor) for decade in decades for factor in factors]
    return [tick for tick in ticks if low <= tick <= high] or [(low + high) / 2]


def number_text(value: float) -> str:
    """Return a number in about three figures: 0.012, 4.2, 1,250, 1.2M."""
    if value < 0:
        return f"-{number_text(-value)}"
    if value >= 999_500:
        return f"{value / 1e6:,.3g}M" if value < 1e9 else f"{value / 1e6:,.0f}M"
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or not value else f"{value:.1e}"


def time_text(seconds: float) -> str:
    """Return a short time: 0, 0.5 s, 5 min, 1 h 30, 2.5 d."""
    if seconds < 59.95:
        return f"{seconds:.3g} s" if seconds else "0"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
    if minutes < 60 * 48:
        return f"{minutes // 60} h {minutes % 60:02}" if minutes % 60 else f"{minutes // 60} h"
    return f"{minutes / 1440:.3g} d"
