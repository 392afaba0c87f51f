"""The input files of the benchmarks."""

from pathlib import Path

_BLOCK_ROWS = 4_096


def prompt(number: int) -> str:
    """Return the prompt of a row; all are different."""
    return (
        f"Label this review, number {number}, as positive, negative or mixed: Boils two cups before I have found the "
        "tea bags, but the handle gets too hot to hold."
    )


def write_rows(path: Path, rows: int) -> None:
    """Write different rows as JSON Lines."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(f'{{"id": "r{number:07}", "prompt": "{prompt(number)}"}}\n' for number in range(rows))


def write_bytes(path: Path, size_bytes: int) -> None:
    """Write JSON Lines of about this size by repeating a block: fast, and its rows need not differ."""
    block = "".join(f'{{"prompt": "{prompt(number)}"}}\n' for number in range(_BLOCK_ROWS)).encode()
    with path.open("wb") as file:
        for _ in range(max(1, size_bytes // len(block))):
            file.write(block)
