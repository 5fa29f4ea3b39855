"""The command `sacp`, also as `python -m sacp`."""

import os
import signal
import sys

STOPPED = 130


def main() -> None:
    """Run the command; it needs the packages of the extra `command`."""
    # Its modules take seconds to import, and what an interrupt raises in them is not always KeyboardInterrupt.
    before = signal.signal(signal.SIGINT, _stop)
    try:
        from sacp.api import command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "sacp":
            raise
        sys.exit(f"error: the command needs the package '{error.name}'; pip install 'sacp[command]'")
    signal.signal(signal.SIGINT, before)
    command.main()


def _stop(*_: object) -> None:
    """End at once: nothing has begun."""
    os.write(sys.stderr.fileno(), b"stopped\n")
    os._exit(STOPPED)


if __name__ == "__main__":
    main()
