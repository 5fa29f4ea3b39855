"""Child process: does nothing. Its time is that of the start of a job that ranks, chooses or writes a table."""

import pandas  # noqa: F401 (imported for the time it takes)

from sacp.compute import job  # noqa: F401 (as above)
from sacp.forecast.processes import serve

if __name__ == "__main__":
    serve(lambda request: {})
