"""What sends the requests of a run: a pool in this process, the driver of many workers, or batches."""

from batchrun.endpoint.pool.pool import Pool
from batchrun.endpoint.pool.sender import Sender
from batchrun.engine.batches.overview import BatchRoute, Overview
from batchrun.engine.cluster.driver import Driver
from batchrun.engine.cluster.routes import SharedRoute

AnyPool = Pool | Driver | Overview
AnySender = Sender | SharedRoute | BatchRoute
"""One endpoint of these."""
