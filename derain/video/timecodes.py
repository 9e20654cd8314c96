"""Timecodes, as cameras and editors count frames: hours, minutes, seconds and frames of a day."""

import re
from fractions import Fraction

TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d)([:;.,])(\d\d)")
WITHOUT_DROP = ":"  # before the frames; the other signs say that numbers are dropped
DROPPED = {30: 2, 60: 4}  # by frames a second: how many numbers of a minute, but for every tenth; others drop none
MOST = 100  # frames a second of which two digits can tell


def later(timecode: str, frames: int, rate: Fraction) -> str | None:
    """The timecode so many frames later; ``None`` if it is none, or cannot be one at that rate."""
    found = TIMECODE.fullmatch(timecode.strip())
    a_second = round(rate)
    if not found or not 0 < a_second <= MOST:
        return None
    hours, minutes, seconds, number = (int(found[part]) for part in (1, 2, 3, 5))
    sign = found[4]
    dropped = 0 if sign == WITHOUT_DROP else DROPPED.get(a_second, 0)
    minute, ten_minutes = 60 * a_second - dropped, 600 * a_second - 9 * dropped
    past = 60 * hours + minutes
    at = past * minute + past // 10 * dropped + seconds * a_second + number
    tens, rest = divmod((at + frames) % (144 * ten_minutes), ten_minutes)
    if rest >= minute + dropped:  # after the first minute, which drops none
        rest += dropped * (1 + (rest - minute - dropped) // minute)
    seconds, number = divmod(600 * a_second * tens + rest, a_second)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{sign}{number:02d}"
