"""What stops a run: one tree, each leaf with its exit code. A failed row is no error but a row."""


class BatchrunError(Exception):
    """Root of all that batchrun raises on purpose. The message says what is wrong, where, and what to do."""

    exit_code = 2


class JobError(BatchrunError):
    """The job file or a flag is wrong. Raised by `job`, by templates, and by `pricing` for a cap without a price."""


class InputError(BatchrunError):
    """The input as a whole cannot be used: missing, empty, unreadable, of no known form. Raised by `prompts`."""


class RunDirectoryError(BatchrunError):
    """The run directory cannot be used, read or written. Raised by `checkpoint` and `results`."""

    exit_code = 3


class DamagedError(RunDirectoryError):
    """The checkpoint's content is wrong, and some of it may be recovered. Raised by `checkpoint`."""


class EndpointRefused(BatchrunError):
    """The endpoint refuses the whole job: key, project, region, model; or a system refuses the key to publish with.

    Raised by `credentials`, `run` and `integrations`.
    """

    exit_code = 4


class Stopped(BatchrunError):
    """The run stopped with work left and can be resumed: quota, cost cap, deadline, patience. Raised by `run`."""

    exit_code = 5


class PublishError(BatchrunError):
    """A finished run could not be published; the run itself is as it was. Raised by `integrations`, `uploading`."""

    exit_code = 5
