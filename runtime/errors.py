"""Errors that a command line shows as one line."""


class FingerGenError(Exception):
    """A failure with a message for the user; command lines print it and exit with 1."""

    exit_code = 1


class BadInput(FingerGenError):
    """Input that the user can mend: the message names the file, the field and the fix; exit code 2."""

    exit_code = 2
