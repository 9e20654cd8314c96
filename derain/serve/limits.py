"""What requests may take."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one request, one client and all clients together may use; anything beyond is refused at no cost."""

    megabytes: float = 200.0  # of an upload: 413
    megapixels: float = 100.0  # that a photo declares: 413
    waiting: int = 64  # requests that are there at once, from the first byte sent to the last one taken: 503
    waiting_per_client: int = 16  # of one client: 429
    waiting_megabytes: float = 2000.0  # of all uploads that are there at once: 503
    stalled: float = 30.0  # s without a byte of an upload: 408; or of which the client takes nothing of the answer
    connections: int = 1000  # open at once, idle ones included: 503

    @property
    def bytes(self) -> int:
        return int(min(self.megabytes * 1e6, sys.maxsize))

    @property
    def waiting_bytes(self) -> int:
        return int(min(self.waiting_megabytes * 1e6, sys.maxsize))
