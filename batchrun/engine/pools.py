"""What sends the requests of a run: a pool in this process, or the driver of many workers."""

from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.sender import Sender
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.cluster.routes import SharedRoute

AnyPool = Pool | Driver
AnySender = Sender | SharedRoute
"""One endpoint of these."""
