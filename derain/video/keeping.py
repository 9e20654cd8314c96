"""Which codec and container would keep more of a clip's pixels, and what is said of what they lose."""

from collections.abc import Callable

from derain.video.colour import is_rgb
from derain.video.encoding import Encoding
from derain.video.formats import HELD, LOSSLESS, choose_pixel_format, differences, is_grey, lost
from derain.video.holding import TRIED_FIRST, holds_codec
from derain.video.naming import FORMATS
from derain.video.reading import Frame
from derain.video.sides import Light

OTHERS = (".mkv", ".mov")  # endings that hold what others do not


def what_keeps_more(source: str, encoding: Encoding, ending: str, others: tuple[str, ...] = OTHERS) -> str:
    """Which codec, and container if not this one, keeps more of pixels of the format ``source``; empty if none does.

    Args:
        ending: that of files of the container.
        others: of containers that might be taken instead.
    """
    size = encoding.width, encoding.height
    now = differences(source, encoding.pixel_format)
    found = []
    for place, suffix in enumerate(dict.fromkeys((ending, *others))):
        for rank, codec in enumerate(TRIED_FIRST):
            form = choose_pixel_format(codec, source, size, suffix)
            loss = differences(source, form)
            if suffix in HELD[codec] and loss != now and all(less <= more for less, more in zip(loss, now)):
                other_kind = is_rgb(source) and codec not in LOSSLESS
                found.append((loss, place, other_kind, rank, codec, suffix))
    for *_, codec, suffix in sorted(found):
        if suffix not in FORMATS or holds_codec(FORMATS[suffix], codec):
            return f"`codec` {codec}" + (f" and a result in {suffix}" if suffix != ending else "")
    return ""


def say_lost(
    frame: Frame, encoding: Encoding, ending: str, say: Callable[[str], None], others: tuple[str, ...] = OTHERS
) -> None:
    """Say what the pixels lose, and what stands beside them; arguments as of :func:`what_keeps_more`."""
    light, form = Light.of(frame.sides), frame.colours.pixel_format
    if (light.mastering or light.content) and not light.options(encoding.codec):
        kept = "; the container keeps what it held" if others else ""
        say(f"{encoding.codec} cannot hold HDR's mastering display and content light{kept}")
    if is_grey(form) and not is_grey(encoding.pixel_format):
        say(f"{encoding.codec}: grey is stored as {encoding.pixel_format}, which looks the same")
    if is_rgb(form) and not is_rgb(encoding.pixel_format):
        say(f"{encoding.codec}: RGB is stored as {encoding.pixel_format}, which rounds colours a little")
    if losses := lost(form, frame.colours.bits, encoding.pixel_format):
        better = what_keeps_more(form, encoding, ending, others)
        verb = "keep" if " and " in better else "keeps"
        say(f"{encoding.codec}: {' and '.join(losses)}" + (f"; {better} {verb} more" if better else ""))
