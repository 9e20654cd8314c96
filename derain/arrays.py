"""What arrays hold, named once. Rows come first, colours last; all photos are RGB."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]  # (H, W, 3) uint8 or uint16, as a file has them
Rgb8 = NDArray[np.uint8]  # (H, W, 3)
UnitRgb = NDArray[np.float32]  # (H, W, 3) in [0, 1]
Heights = NDArray[np.float32]  # (H, W) heights of rain in [0, 1]
Grey = NDArray[np.float32]  # (H, W) brightness, in the units that are said
Mask = NDArray[np.bool_]  # (H, W)
