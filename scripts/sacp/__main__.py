"""The command `sacp`, also as `python -m sacp`."""

import sys


def main() -> None:
    """Run the command; it needs the packages of the extra `command`."""
    try:
        from sacp.api import command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "sacp":
            raise
        sys.exit(f"error: the command needs the package '{error.name}'; pip install 'sacp[command]'")
    command.main()


if __name__ == "__main__":
    main()
