"""Errors that end a run, or the work on one file, with one line: where, expected, found, what to do."""


class PipelineError(Exception):
    """A failure with a known cause. Its message is one line, shown to the user as it is."""


class InputError(PipelineError):
    """An input file, archive or option is not what it has to be."""


class DownloadError(PipelineError):
    """A file could not be downloaded, or is not the expected one. `retryable`: another try may succeed."""

    retryable = True


class ModelError(PipelineError):
    """A model bundle is missing, damaged, or not the model that it claims to be."""


class StoreError(PipelineError):
    """A bucket cannot be reached, listed, read or written."""


class OutputError(PipelineError):
    """A result could not be written, or was not published as its counts do not add up."""


def printable(name: str) -> str:
    """`name` on one line: what a terminal would not show as it stands becomes a question mark."""
    if name.isprintable():
        return name
    return "".join(character if character.isprintable() else "?" for character in name)
