"""Timecodes, as cameras and editors count frames: hours, minutes, seconds and frames of a day."""

import re
from fractions import Fraction

TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d)([:;.,])(\d\d)")
WITHOUT_DROP = ":"  # before the frames; the other signs say that numbers are dropped


def later(timecode: str, frames: int, rate: Fraction) -> str | None:
    """The timecode so many frames later; ``None`` if it is none."""
    found = TIMECODE.fullmatch(timecode.strip())
    a_second = round(rate)
    if not found or not a_second:
        return None
    hours, minutes, seconds, number = (int(found[part]) for part in (1, 2, 3, 5))
    sign = found[4]
    # of a minute, but for every tenth, the first 2 of 30 or 4 of 60 numbers are dropped
    dropped = 0 if sign == WITHOUT_DROP else a_second // 15
    minute, ten_minutes = 60 * a_second - dropped, 600 * a_second - 9 * dropped
    past = 60 * hours + minutes
    at = past * minute + past // 10 * dropped + seconds * a_second + number
    tens, rest = divmod((at + frames) % (144 * ten_minutes), ten_minutes)
    if rest >= minute + dropped:  # after the first minute, which drops none
        rest += dropped * (1 + (rest - minute - dropped) // minute)
    seconds, number = divmod(600 * a_second * tens + rest, a_second)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{sign}{number:02d}"
