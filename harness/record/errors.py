"""Errors that a user sees as one line, each with the exit code it ends the process with."""

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_BAD_INPUT = 2
EXIT_DIVERGED = 3
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: the run resumes when started again


class HarnessError(Exception):
    """Base of every expected failure; the message is one line that names the remedy."""

    exit_code = EXIT_ERROR


class BadInput(HarnessError):
    """The user's config, data or arguments cannot be used as they are."""

    exit_code = EXIT_BAD_INPUT


class RecordError(BadInput):
    """A record on disk is truncated, edited by hand or of another protocol version."""


class Interrupted(HarnessError):
    """A signal asked to stop before the run had begun."""

    exit_code = EXIT_INTERRUPTED


class OutOfMemory(HarnessError):
    """A device or the host had no memory left; the run stays open."""


class RunLocked(HarnessError):
    """Another live process is writing the same run."""


class UncountedOperator(HarnessError):
    """A model uses an operator that multiplies and that no explicit rule bills."""
