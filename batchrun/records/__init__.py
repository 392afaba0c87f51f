"""The frozen data that the stages pass to each other.

What is made once per row is a `NamedTuple`: a frozen dataclass costs three times as much to make, and there are
millions.
"""

from batchrun.records.batches import BatchLine as BatchLine
from batchrun.records.events import Attempted as Attempted
from batchrun.records.events import Closed as Closed
from batchrun.records.events import Event as Event
from batchrun.records.events import GivenUp as GivenUp
from batchrun.records.events import Loosened as Loosened
from batchrun.records.events import Narrowed as Narrowed
from batchrun.records.events import Paused as Paused
from batchrun.records.events import Resumed as Resumed
from batchrun.records.events import Spent as Spent
from batchrun.records.events import Stop as Stop
from batchrun.records.outcomes import BY_BATCH as BY_BATCH
from batchrun.records.outcomes import AnswerSource as AnswerSource
from batchrun.records.outcomes import Fault as Fault
from batchrun.records.outcomes import Outcome as Outcome
from batchrun.records.outcomes import OutcomeColumns as OutcomeColumns
from batchrun.records.outcomes import Reply as Reply
from batchrun.records.outcomes import SharedReply as SharedReply
from batchrun.records.outcomes import Usage as Usage
from batchrun.records.outcomes import named_endpoint as named_endpoint
from batchrun.records.outcomes import numbered_endpoint as numbered_endpoint
from batchrun.records.outcomes import place_number as place_number
from batchrun.records.outcomes import unnumbered_endpoint as unnumbered_endpoint
from batchrun.records.prompts import PATHS as PATHS
from batchrun.records.prompts import Attachment as Attachment
from batchrun.records.prompts import BadRow as BadRow
from batchrun.records.prompts import PackedRow as PackedRow
from batchrun.records.prompts import Prompt as Prompt
from batchrun.records.prompts import Request as Request
from batchrun.records.prompts import RequestKind as RequestKind
from batchrun.records.prompts import Row as Row
from batchrun.records.totals import AT_END as AT_END
from batchrun.records.totals import ENDED as ENDED
from batchrun.records.totals import BatchFigures as BatchFigures
from batchrun.records.totals import EndpointFigures as EndpointFigures
from batchrun.records.totals import Figures as Figures
from batchrun.records.totals import LaneState as LaneState
from batchrun.records.totals import ModelTotals as ModelTotals
from batchrun.records.totals import Parts as Parts
from batchrun.records.totals import RowCount as RowCount
from batchrun.records.totals import WorkerFigures as WorkerFigures
from batchrun.records.totals import difference as difference
from batchrun.records.totals import parts_of as parts_of
from batchrun.records.totals import summed as summed
