"""The errors that stop a run: one tree, each leaf with its exit code. A failed row is not an error: it is a row."""


class BatchrunError(Exception):
    """Root of the errors that batchrun raises on purpose. The message names what is wrong, where, and the cure."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in the place of a traceback: the message says where and what to do."""
        return [f"{type(self).__name__}: {self}"]


class JobError(BatchrunError):
    """The job file, a flag or a template is wrong."""


class InputError(BatchrunError):
    """The input as a whole cannot be used: it is missing, empty, unreadable or of an unknown format."""


class RunDirectoryError(BatchrunError):
    """The run directory cannot be used, read or written."""

    exit_code = 3


class NotBegunError(RunDirectoryError):
    """The run directory holds no job: nothing was ever sent from it."""


class DamagedError(RunDirectoryError):
    """The checkpoint is damaged; some of its rows may be recovered."""


class EndpointRefused(BatchrunError):
    """The endpoint never answers or refuses the whole job (key, project, model), or W&B refuses the key to publish."""

    exit_code = 4


class Stopped(BatchrunError):
    """The endpoint cannot answer now. Running the command again later may succeed."""

    exit_code = 5


class PublishError(BatchrunError):
    """A finished run could not be published or uploaded. The run itself is unchanged."""

    exit_code = 5
