"""How FFmpeg's converter is told to go between YUV and RGB, for photos and clips."""

from av.video.reformatter import Colorspace, Interpolation

# H.273's codes of matrices to the converter's; 2 is "not specified", 0 is RGB
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
DERIVED, NAMED_AS_PRIMARIES = 12, {1, 9}  # the matrix that follows from the primaries, and those whose code it then has
UNKNOWN = {  # what the converter does not know
    11: "SMPTE 2085",
    DERIVED: "a matrix of their own primaries",
    13: "a matrix of their own primaries with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-R",
    17: "YCgCo-R",
}
# less, and pictures darken
EXACT_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
