"""One photo: `python examples/photo.py rainy.jpg dry.jpg` writes dry.jpg, and says how much rain there was.

What else the file holds, such as EXIF and an ICC profile, is left out; `folder.py` keeps it.
"""

import sys
from pathlib import Path

import derain
from derain.photos import read_photo, write_photo
from derain.rain.amount import amount

if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    background, rain = derain.restore(derain.load(), read_photo(source))
    write_photo(out, background)
    found = amount(rain)
    print(f"{out}: rain could be seen on {found.score:.0%} of the photo")
    for row in found.grid:
        print("  ".join(f"{cell:4.0%}" for cell in row))
