"""What the keys of `--json` mean, for the page of options: one table a command."""

from typing import NamedTuple


class Keys(NamedTuple):
    """The objects of a command."""

    told: str  # what there is one of
    meanings: dict[str, str]  # by key, each with its type


SKIPPED = "text or null: why nothing was done for it"
ERROR = "text or null: what went wrong"
PHOTO = Keys(
    "photo",
    {
        "input": "text: the photo",
        "output": "text or null: its result; null if it failed",
        "rain": "text or null: the file of its rain layer, with `--rain`",
        "compare": "text or null: the comparison, with `--compare`",
        "width": "whole number: px; 0 if nothing was computed",
        "height": "whole number: px",
        "seconds": "number: in the network",
        "rain_coverage": "number from 0 to 1: share of the pixels with rain that can be seen",
        "rain_left": "number from 0 to 1, or null: share of the streaks' height that is evidently left; null if "
        "that was not looked for, as in photos that are not rainy",
        "untouched": "true or false: whether the result is the photo's own file, bit for bit",
        "skipped": SKIPPED,
        "notes": "list of texts: what the result could not keep, and which results existed and were kept",
        "error": ERROR,
        "node": "text: the computer that did it; only with `--ray`",
    },
)
CLIP = Keys(
    "clip",
    {
        "input": "text: the clip",
        "output": "text or null: its result; null if there is none",
        "frames": "whole number: in the result",
        "seconds": "number: that it took",
        "failed": "list of whole numbers: frames that failed and were passed through unchanged",
        "damage": "list of texts: what of the clip could not be read",
        "dry": "true or false: whether nothing was written because it does not rain, with `--only-if-rainy` or "
        "`--rainy-from`",
        "notes": "list of texts: in what the result differs from the clip besides rain",
        "skipped": SKIPPED,
        "error": "text or null: what went wrong, failed frames and damage too",
        "nodes": "list of texts: the computers that did it; only with `--ray`",
    },
)
STREAM = Keys(
    "stream",
    {
        "input": "text: the stream, without passwords, as the next",
        "output": "text: where it went",
        "frames": "whole number: pictures that left",
        "seconds": "number: that it took",
        "dropped": "whole number: pictures left out because the machine was too slow",
        "late": "whole number: pictures that were not later than the one before, and left out",
        "damaged": "whole number: packets that could not be decoded",
        "passed": "whole number: pictures passed through while it was dry",
        "failed": "list of whole numbers: pictures that failed and were passed through unchanged",
        "reconnections": "whole number",
        "latency_frames": "whole number: pictures that had come, at the most, since the one that left",
        "latency_seconds": "number: from a picture's arrival to its leaving, at the most",
        "live": "true or false: whether the source is live",
        "lost": "text: why the source ended; empty if it ended by itself",
        "cut": "text: how much of the source is missing at its end; empty if nothing is known to be",
        "interrupted": "true or false: whether Ctrl-C ended it",
        "notes": "list of texts: in what the result differs from the stream besides rain",
    },
)
PICTURE = Keys(
    "photo or frame",
    {
        "input": "text: the photo, clip or stream",
        "time": "number or null: s, of a frame; null of a photo",
        "score": "number from 0 to 1: share of the picture that shows rain; null if it failed",
        "grid": "list of rows, each a list of numbers: the same share in each cell, four by four; null if it failed",
        "streaks": "object or null: numbers `degrees` from the vertical, `length` and `width` in px; null without any",
        "rainy": "true or false: whether the score is 0.02 or more; null if it failed",
        "error": ERROR,
    },
)
OF_COMMANDS = {"derain run": [PHOTO], "derain video": [CLIP, STREAM], "derain score": [PICTURE]}
