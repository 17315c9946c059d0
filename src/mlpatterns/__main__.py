"""The command `mlpatterns`, also as `python -m mlpatterns`."""

import sys

from mlpatterns.launch.signals import hold_hangup


def main() -> int:
    """Runs one command and returns its exit status."""
    hold_hangup()  # before the slow imports of the commands, during which a signal may arrive
    from mlpatterns.cli import main as run_command

    return run_command()


if __name__ == "__main__":
    sys.exit(main())
