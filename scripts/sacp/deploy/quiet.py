"""What exporters tell of themselves, kept from the user's terminal."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """While it is entered, nothing is printed, and no warning or log below an error is shown. Errors are raised."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with (
            warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
        ):  # fmt: skip
            yield
    finally:
        logging.disable(before)
