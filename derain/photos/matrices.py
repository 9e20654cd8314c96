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
# less, and pictures darken
EXACT_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
