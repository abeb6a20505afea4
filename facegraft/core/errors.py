"""Every error a user can cause, each with one line that says what was expected, found, and to do."""


class FacegraftError(Exception):
    """Base: the command prints the message as one line and exits with 2."""


class BadInputError(FacegraftError):
    """A file, option or mapping that cannot be used as it is."""


class NoFaceError(FacegraftError):
    """No face where one is needed."""


class MissingPartError(FacegraftError):
    """An extra, a model file or a device that is not there; the message names the command that brings it."""


class OutputError(FacegraftError):
    """The result cannot be written: disk full, no permission, path in use."""
