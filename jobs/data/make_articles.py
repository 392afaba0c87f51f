"""Make `articles.parquet` next to this file: invented local news with nested columns and nulls, always the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COUNT = 200
SEED = 7

SCHEMA = pa.schema(
    [
        pa.field("article_id", pa.int64(), nullable=False),
        ("title", pa.string()),
        ("subtitle", pa.string()),
        ("author", pa.struct([("name", pa.string()), ("desk", pa.string())])),
        ("published_at", pa.timestamp("ms", tz="UTC")),
        ("tags", pa.list_(pa.string())),
        ("sections", pa.list_(pa.struct([("heading", pa.string()), ("text", pa.string())]))),
        ("word_count", pa.int32()),
    ]
)

TOWNS = ("Ashford Mill", "Brennau", "Costa Vell", "Dunmore", "Elmshafen", "Fjellby", "Gratwein", "Harrow Lake")
SUBJECTS = {
    "transport": ("the night bus", "the old tram line", "the ferry", "the cycle path along the river"),
    "culture": ("the open-air cinema", "the town museum", "the brass band", "the reading festival"),
    "nature": ("the beaver dam", "the oak avenue", "the bathing lake", "the bee meadow behind the station"),
    "council": ("the new library", "the price of water", "the Sunday market", "the empty barracks"),
    "sport": ("the women's rowing eight", "the skate park", "the hill race", "the chess club"),
}
NEWS = ("stays for another year", "has to close", "gets a second chance", "divides the town", "breaks a record")
PEOPLE = ("Ida Brandt", "Tomás Riera", "Nell Whitcombe", "Jonas Aune", "Mira Kovač", "Paul Obi", "Greta Lindqvist")
SENTENCES = (
    "{person} has worked for {subject} for {number} years and says that nobody had asked her before.",
    "The vote in {town} was {number} to {less}, with two abstentions.",
    "It would cost about {number},000 euros, half of which the region has promised to pay.",
    "“We were expecting thirty people, and {number} came,” said {person}, still out of breath.",
    "Neighbours collected {number}00 signatures within a week, most of them at the bakery.",
    "A report from last spring had warned of exactly this, but it was never read out.",
    "Until the autumn nothing will change; after that, {subject} depends on the weather and on volunteers.",
    "In {town}, twenty kilometres away, the same plan failed {less} years ago.",
    "Those who were against it have announced that they will come anyway, with cake.",
    "“Ask me again in {less} months,” said {person}.",
)
HEADINGS = ("How it began", "What it costs", "The other side", "What comes next", None)


def articles(random: Random) -> list[dict[str, Any]]:
    """Return all articles."""
    return [article(number, random) for number in range(1, COUNT + 1)]


def article(number: int, random: Random) -> dict[str, Any]:
    """Return one article; each of its optional parts is sometimes missing."""
    desk = random.choice(list(SUBJECTS))
    subject, town = random.choice(SUBJECTS[desk]), random.choice(TOWNS)
    sections = [section(subject, town, random) for _ in range(random.randint(1, 4))]
    published_at = datetime(2026, 1, 1, 5, tzinfo=UTC) + timedelta(minutes=random.randrange(300 * 24 * 60))
    return {
        "article_id": 10_000 + number,
        "title": f"{town}: {subject} {random.choice(NEWS)}",
        "subtitle": random.choice([None, f"What {random.choice(PEOPLE)} has to do with it", "A visit"]),
        "author": random.choice([None, *({"name": name, "desk": desk} for name in PEOPLE)]),
        "published_at": random.choice([None, published_at, published_at, published_at]),
        "tags": random.choice([None, [], [desk], [desk, town]]),
        "sections": sections,
        "word_count": sum(len(each["text"].split()) for each in sections),
    }


def section(subject: str, town: str, random: Random) -> dict[str, Any]:
    """Return a paragraph with a heading, which may be None."""
    less = random.randint(3, 20)
    words = {"subject": subject, "town": town, "less": less, "number": less + random.randint(1, 60)}
    sentences = random.sample(SENTENCES, random.randint(3, 6))
    text = " ".join(sentence.format(person=random.choice(PEOPLE), **words) for sentence in sentences)
    return {"heading": random.choice(HEADINGS), "text": text}


def table() -> pa.Table:
    """Return the table that the file contains."""
    return pa.Table.from_pylist(articles(Random(SEED)), schema=SCHEMA)  # noqa: S311 - not for secrets


if __name__ == "__main__":
    pq.write_table(table(), Path(__file__).with_name("articles.parquet"), compression="zstd", row_group_size=64)
