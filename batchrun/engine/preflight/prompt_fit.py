"""How the tokens of prompts follow from what was estimated of them, and from the bytes of their rows. Pure."""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from batchrun.engine.preflight.ranges import Range

UNKNOWN_SHARE = 0.15
"""How far the estimate of a prompt's tokens may be off before anything was counted."""

_COUNTED_SHARE = 0.04
"""And once tokens were counted for prompts of the same length."""

_VARIED_SHARE = 0.1
"""What comes on top when they were counted for one prompt only; it falls with the root of their number."""

_LEAST_SLOPE_ERROR = 0.05
"""How far a slope may be off at least: prompts that were not counted are of another kind of text now and then."""

_MOST_SLOPE_ERROR = 0.25
"""A slope that is less certain is not used: the prompts that were counted are too much alike in length."""

_USUAL_SLOPE = 1 - UNKNOWN_SHARE, 1 + UNKNOWN_SHARE
"""Where templates add nothing to prompts that depends on their text."""

_LEAST_RATIO = 0.6
"""Tokens to those that were estimated, at least: numbers of three digits make a token, and 1.5 are estimated."""


class PromptFit(NamedTuple):
    """What was counted of some prompts, next to what was estimated of them."""

    prompts: int
    estimated: float
    """Mean."""
    counted: float
    """Mean."""
    slope: Range
    """Tokens for each token that was estimated, between prompts of different lengths."""
    shortest: float
    longest: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> "PromptFit | None":
        """Learn from pairs of estimated and counted tokens; None without any."""
        if not pairs or not all(estimated > 0 for estimated, _ in pairs):
            return None
        count, sizes = len(pairs), [estimated for estimated, _ in pairs]
        mean, counted = sum(sizes) / count, sum(each for _, each in pairs) / count
        return cls(count, mean, counted, _slope(pairs, mean, counted), min(sizes), max(sizes))

    def tokens(self, estimated: Range) -> Range:
        """Return the tokens of prompts, in the mean, from what is estimated of them in the mean."""
        slope, ratio, (low, likely, high) = self.slope, self.counted / self.estimated, estimated
        beyond = max(self.shortest - low, high - self.longest)
        if beyond > 0:  # prompts of another length may be of another kind of text
            least, most = _USUAL_SLOPE
            near = slope if beyond <= self.longest - self.shortest else Range(ratio, ratio, ratio)
            middle = min(max(near.likely, least), most)
            slope = Range(min(least, ratio, near.low), middle, max(most, ratio, near.high))
        share = _COUNTED_SHARE + _VARIED_SHARE / sqrt(self.prompts)
        from_low = min(self.counted + each * (low - self.estimated) for each in slope)
        from_high = max(self.counted + each * (high - self.estimated) for each in slope)
        middle = self.counted + slope.likely * (likely - self.estimated)
        bound = min(ratio, _LEAST_RATIO)
        from_low, middle, from_high = (
            max(each, bound * size) for each, size in zip((from_low, middle, from_high), estimated, strict=True)
        )
        return Range(from_low * (1 - share), middle, from_high * (1 + share))


def _slope(pairs: Sequence[tuple[float, float]], mean: float, counted: float) -> Range:
    """Return a slope by least squares; where it is not certain, all from none to one where templates add nothing."""
    ratio = counted / mean
    spread = sum((one - mean) ** 2 for one, _ in pairs)
    if len(pairs) > 2 and spread > 0:
        slope = sum((one - mean) * (two - counted) for one, two in pairs) / spread
        rest = sum((two - counted - slope * (one - mean)) ** 2 for one, two in pairs)
        error = 2 * sqrt(rest / (len(pairs) - 2) / spread) + _LEAST_SLOPE_ERROR
        if error <= _MOST_SLOPE_ERROR:
            return Range(slope - error, slope, slope + error)
    least, most = _USUAL_SLOPE
    return Range(min(least, ratio), ratio, max(most, ratio))


_SAMPLE_SHARE = 0.1
"""How far the mean of a file's first prompts may be from that of all prompts like them: an assumption."""


def lengths_by_bytes(tokens: float, row_bytes: float, more_bytes: float, unseen: float, density: float) -> Range:
    """Return how long prompts are, as factors to the mean of those that were read.

    What a row has in bytes besides the text of its prompt is not known, nor what a template adds to it in tokens. So
    the range is from one where tokens are in proportion to bytes to one where all further bytes are text.

    Args:
        tokens: mean of the prompts that were read.
        row_bytes: mean of the rows that were read.
        more_bytes: how many bytes more the other rows have in the mean; negative where they have less.
        unseen: the share of these other rows, 0 to 1.
        density: tokens for each byte of text.
    """
    rates = min(tokens / max(row_bytes, 1.0), density), density
    least, most = sorted(max(0.1, 1 + unseen * more_bytes * each / tokens) for each in rates)
    return Range(least * (1 - _SAMPLE_SHARE), (least + most) / 2, most * (1 + _SAMPLE_SHARE))


def lengths_to_limit(row_share: float, share: float, read: int, limit: int) -> Range:
    """Return the same for the first rows of a larger input, when it is not known how many of its bytes they are.

    The rows that were not read have from nothing to all that is left of it.

    Args:
        row_share: share of the input's bytes that a row has which was read, in the mean.
        share: of the input's bytes that lies behind the rows that were read.
        read: how many rows were read.
        limit: how many rows there are.
    """
    unseen = max(0.0, 1 - read / limit)
    most = 1 + unseen * ((1 - share) / max(1, limit - read) / row_share - 1)
    return Range(max(0.1, 1 - unseen) * (1 - _SAMPLE_SHARE), 1.0, max(1.0, most) * (1 + _SAMPLE_SHARE))
