"""Which options FFmpeg knows for what it reads: it passes over in silence what it does not know, and PyAV, too."""

import ctypes
from collections.abc import Iterable

import av.container.core

CHILDREN, BY_CLASS = 1, 2  # FFmpeg's AV_OPT_SEARCH_CHILDREN and AV_OPT_SEARCH_FAKE_OBJ
READING = 2  # AV_OPT_FLAG_DECODING_PARAM


def unknown_to_ffmpeg(names: Iterable[str]) -> list[str]:
    """Names that no protocol, container or device has for reading; none where FFmpeg's libraries cannot be asked."""
    try:
        libraries = ctypes.CDLL(av.container.core.__file__)  # with those that it is linked to
        find, of_containers = libraries.av_opt_find, libraries.avformat_get_class
    except (OSError, AttributeError):
        return []
    find.restype = of_containers.restype = ctypes.c_void_p
    find.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    options = ctypes.byref(ctypes.c_void_p(of_containers()))
    return [name for name in names if not find(options, name.encode(), None, READING, CHILDREN | BY_CLASS)]
