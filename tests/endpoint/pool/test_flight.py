"""What is in flight at several endpoints, added up."""

from batchrun.endpoint.pool.flight import Flight


def test_the_sum_follows_each_endpoint() -> None:
    """Up and down."""
    seen: list[int] = []
    flight = Flight(seen.append)
    first, second = flight.at_one(), flight.at_one()
    first(1)
    second(5)
    first(3)
    second(0)
    assert seen == [1, 6, 8, 3]
