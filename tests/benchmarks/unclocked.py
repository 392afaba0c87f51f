"""batchrun, with what it does by the clock put off: commits, what waits for them, the ticker. For `instructions`.

A busy machine and a tool that counts make a row slow. What is done by the clock would then be done for fewer rows, and
weigh more in each: one commit for two rows, where it is usually one for a hundred.
"""

from batchrun.__main__ import main
from batchrun.checkpoint import fsync, queue, writer
from batchrun.engine import ticker

_LATER_S = 30.0

_INTERVALS = (
    (writer, "COMMIT_EVERY_S"),
    (queue, "MAX_AGE_S"),  # nothing is sent while an answer waits for its commit for longer than this
    (fsync, "FORCE_EVERY_S"),
    (ticker, "TICK_S"),
)

if __name__ == "__main__":
    for module, name in _INTERVALS:
        assert hasattr(module, name)
        setattr(module, name, _LATER_S)
    main()
