"""What only a program may do to its process, and a library may not: keep other libraries from talking."""

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
