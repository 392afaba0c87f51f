from batchrun.simulator.prefixes import PrefixCache


def test_a_repeated_prefix_is_cached_in_blocks():
    """Only long prefixes are cached, in whole blocks, separately for each model and salt."""
    cache = PrefixCache()
    assert cache.cached_tokens("m", "", "long", 50) == 0
    assert cache.cached_tokens("m", "", "long", 50) == 48
    assert cache.cached_tokens("other", "", "long", 50) == 0
    assert cache.cached_tokens("m", "salt", "long", 50) == 0
    assert [cache.cached_tokens("m", "", "short", 8) for _ in range(2)] == [0, 0]


def test_the_oldest_prefix_is_dropped():
    """The cache does not grow with the number of prefixes."""
    cache = PrefixCache()
    for number in range(1100):
        cache.cached_tokens("m", "", f"prefix {number}", 32)
    assert cache.cached_tokens("m", "", "prefix 0", 32) == 0
    assert cache.cached_tokens("m", "", "prefix 1099", 32) == 32
