"""How much is measured: the sizes of the targets, and smaller ones to try things out."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of all parts. `python tests/benchmarks --help` shows them as flags."""

    rounds: int = 3
    """how often each thing is measured; the least counts"""
    rows: int = 200_000
    """rows of the run whose CPU is measured"""
    openai_rows: int = 5_000
    """rows that the openai client sends"""
    few: int = 10_000
    """rows of the run whose memory is the measure"""
    many: int = 1_000_000
    """rows of the run whose memory, resume and export are measured"""
    big_mib: int = 2_048
    """size of the file whose first request is waited for"""
    in_flight: int = 2_000
    """requests in flight at a slow server"""
    latency_ms: int = 1_000
    """its latency, in milliseconds"""
    turns: int = 20
    """how many requests each of these is to make once all are in flight"""
    streams: int = 200
    """answers that are streamed at once"""
    tokens: int = 250
    """tokens of each of these"""
    tokens_per_s: int = 50
    """how many of them come in a second"""

    @property
    def disk_bytes(self) -> int:
        """About how much room the scratch folder needs: an input row and its answer are kept in three forms."""
        return max(self.many * 3_000, self.big_mib << 20, self.rows * self.rounds * 1_500)


QUICK = Sizes(rounds=2, rows=20_000, openai_rows=1_000, many=100_000, big_mib=200, in_flight=500, turns=8, streams=100)
"""Less than two minutes in all; the ratios say less, since starting weighs more."""
