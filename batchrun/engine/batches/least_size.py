"""How small a batch may be that the caps allow to grow no further. Pure.

A batch is answered within hours, however small it is. Each one that ends gives back what it did not use, so that the
next one fits; without a least size, the last ones would have one request each, one behind the other, for weeks.
"""

from math import ceil

from batchrun.endpoint.pool.budget import CapTexts
from batchrun.report.texts import counted

_LEAST = 10
"""Requests of a batch: nobody waits for hours for fewer, where a cap has them sent bit by bit."""

_LEAST_SHARE = 1 / 100
"""Of what the batches of a run have answered: a batch that adds less is not worth its hours. Where requests use a
quarter of what is set aside for them, this leaves 4 % unsent of what the cap can buy, and saves half of the batches."""

_LEAST_SHARE_UNDER_WAY = 1 / 10
"""Of the requests that are under way, which will give back more: hundreds of small batches would, one behind the other,
take weeks."""


def least_requests(batches: int, *, answered: int, under_way: int) -> int:
    """Return how many requests must be sent together.

    Args:
        batches: that they are sent in: one for each model and kind.
        answered: how many requests the batches of the run have answered.
        under_way: how many requests are in batches that will give money back when they have ended.
    """
    if not answered and not under_way:
        return 1  # whatever the cap allows is the first that is known of the answers
    least = _LEAST * batches if under_way else _LEAST
    return max(least, ceil(_LEAST_SHARE * answered), ceil(_LEAST_SHARE_UNDER_WAY * under_way))


def too_few_text(texts: CapTexts, *, fitting: int, least: int) -> str:
    """Return why requests that a cap allows are not sent in a batch, and what to do, for people.

    Args:
        texts: of the request that was not allowed.
        fitting: how many are allowed before it.
        least: how many must be sent together.
    """
    return (
        f"the {texts.cap} leaves room for {counted(fitting, 'request')} and not for another one, {texts.needs}; "
        f"a batch takes hours, and under a cap none of fewer than {counted(least, 'request')} is sent; {texts.so_far}; "
        f"{texts.cure}, or run it with --via requests --yes to send what fits at the usual price"
    )
