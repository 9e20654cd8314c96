"""BMP, of which Pillow knows all."""

from PIL.BmpImagePlugin import BmpImageFile

from derain.photos.codec import Codec


class Bmp(Codec):
    opener = BmpImageFile
