"""What only a program may do to its process, and a library may not: keep other libraries from talking and spinning."""

import logging
import os
import sys
import warnings
from io import TextIOWrapper


def quiet_libraries() -> None:
    """Keep stderr to what derain says: libtiff, libpng and others print there, past Python, of each damaged file."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    logging.getLogger("PIL").propagate = False
    warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata; a damaged photo is an error
    stderr = sys.stderr
    if not isinstance(stderr, TextIOWrapper) or stderr is not sys.__stderr__ or stderr.fileno() != 2:
        return
    sys.stderr = os.fdopen(os.dup(2), "w", 1, stderr.encoding, stderr.errors)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def bound_spinning() -> None:
    """Threads that wait for the next piece of work sleep after some microseconds, if the user has not said otherwise.

    By themselves they go round for milliseconds, on cores that others need: beside another process derain took several
    times as long. It has to be said before torch is loaded.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "1000"  # GNU's, on Linux
        os.environ["KMP_BLOCKTIME"] = "1"  # ms: LLVM's and Intel's, elsewhere
