"""How much is measured: the sizes that the targets are for, and smaller ones for trials."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of all parts. `python tests/benchmarks --help` shows them as flags."""

    rounds: int = 3
    """how often each figure is measured; the minimum counts"""
    rows: int = 200_000
    """rows of the run whose CPU is measured"""
    openai_rows: int = 5_000
    """rows that the openai client sends"""
    embeddings: int = 100_000
    """rows of embeddings, 64 in each request"""
    few: int = 10_000
    """rows of the run whose memory is compared with"""
    many: int = 1_000_000
    """rows of the run whose memory, resume and export are measured"""
    typed: int = 300_000
    """rows of the run whose answers have eight typed columns"""
    big_mib: int = 2_048
    """size of the file for the time until the first request, in MiB"""
    in_flight: int = 2_000
    """requests in flight at a slow server"""
    latency_ms: int = 1_000
    """its latency, in milliseconds"""
    turns: int = 20
    """requests per slot once all slots are used"""
    streams: int = 1_000
    """answers that are streamed at the same time"""
    tokens: int = 250
    """tokens of each streamed answer"""
    tokens_per_s: int = 50
    """tokens per second of each streamed answer"""
    most_slots: int = 200
    """most slots of the endpoints of short runs"""

    @property
    def disk_bytes(self) -> int:
        """About the space that the scratch folder needs: each row and its answer are stored in three forms."""
        return max(
            self.many * 3_000,
            self.big_mib << 20,
            self.rows * self.rounds * 1_500,
            self.embeddings * self.rounds * 24_000,
        )


QUICK = Sizes(
    rounds=2,
    rows=20_000,
    openai_rows=1_000,
    embeddings=20_000,
    many=100_000,
    typed=50_000,
    big_mib=200,
    in_flight=500,
    turns=8,
    streams=100,
    most_slots=50,
)
"""Less than two minutes in total; the ratios are less exact, because the start has more weight."""
