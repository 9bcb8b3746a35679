"""What the command line may raise to end with one line and a given exit code."""


class UsageError(Exception):
    """The command was not written as it must be: exit code 2."""
