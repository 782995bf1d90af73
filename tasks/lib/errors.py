"""The errors that end a run or a file with one line: where, what was expected, what was found, what to do."""


class PipelineError(Exception):
    """A failure with a known cause. Its message is one line, fit to be shown to a user as it stands."""


class InputError(PipelineError):
    """An input file, archive or option is not what it has to be."""


class DownloadError(PipelineError):
    """A file could not be fetched, or what came is not what was asked for. `retryable`: another try may succeed."""

    retryable = True


class ModelError(PipelineError):
    """A model bundle is missing, damaged, or not the one that it says it is."""


class OutputError(PipelineError):
    """A result could not be written, or does not add up and was not published."""
