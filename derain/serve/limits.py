"""What requests may take."""

import math
import sys
from dataclasses import dataclass

from derain.bounds import bounded
from derain.given import check_fields


@dataclass(frozen=True)
class Limits:
    """What one request, one client and all clients together may use; anything beyond is refused at no cost."""

    megabytes: float = bounded(200.0, 0, math.inf)  # of an upload: 413
    megapixels: float = bounded(100.0, 0, math.inf)  # that a photo declares: 413
    # requests that are there at once, from the first byte sent to the last one taken: 503
    waiting: int = bounded(64, 1, math.inf)
    waiting_per_client: int = bounded(16, 1, math.inf)  # of one client: 429
    waiting_megabytes: float = bounded(2000.0, 0, math.inf)  # of all uploads that are there at once: 503
    # s without a byte of an upload: 408; or of which the client takes nothing of the answer
    stalled: float = bounded(30.0, 0, math.inf)
    connections: int = bounded(1000, 1, math.inf)  # open at once, idle ones included: 503

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a limit that cannot be.
        """
        check_fields(self)

    @property
    def bytes(self) -> int:
        return int(min(self.megabytes * 1e6, sys.maxsize))

    @property
    def waiting_bytes(self) -> int:
        return int(min(self.waiting_megabytes * 1e6, sys.maxsize))
