"""The folder of a run beside its result: what the run is of, and what of it is done, from which it can go on."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from derain.errors import UsageError
from derain.files.parts import PART_NAME
from derain.files.writing import make_folder, write_bytes
from derain.models.contract import device_of
from derain.restoring.restorer import precisions_of, settled_precision
from derain.video.damage import Damage
from derain.video.encoder import is_whole, times_of
from derain.video.naming import unfinished
from derain.video.sides import Light
from derain.video.treatment import Run
from derain.weights import fingerprint, sha256

OWN_NAME = re.compile(
    r"(manifest|notes|failed|light|damage)\.json|precision|matrix|times|whole(\.\w+){1,2}"
    rf"|\d{{6}}(\.[0-9a-f]{{8}})?\.(nut|json|failed)|{PART_NAME.pattern}"
)
METHOD = 1  # count it up where other pictures come of the same frames and settings: a clip is not made of two kinds
OF_A_TRACK = re.compile(r"track\d+")


class Work:
    """The folder of a run: its manifest, and the segments of one picture track that are whole.

    Raises:
        PhotoError: the folder cannot be written.
        UsageError: it belongs to another run.
    """

    SEGMENT_FRAMES = 100  # frames: what a kill costs at the most

    def __init__(self, out: Path, origin: str, track: int = 0) -> None:
        self.folder, self.origin, self.track = unfinished(out), origin, track
        place = manifest_beside(out)
        if place.is_file():
            if not self.is_of(out, origin):
                way_out = "remove the folder, or give `overwrite`, to start over"
                raise UsageError(f"{self.folder}: was begun {differently(place)}; {way_out}")
        else:
            make_folder(self.folder)
            write_bytes(place, origin.encode())
        self.own = self.folder / f"track{track}" if track else self.folder
        make_folder(self.own, below=self.folder.parent)
        self.segments = list(self.whole())
        self.done = len(self.segments)

    @staticmethod
    def is_of(out: Path, origin: str) -> bool:
        """Whether the folder is there, and of this run."""
        place = manifest_beside(out)
        return place.is_file() and place.read_text(encoding="utf-8") == origin

    def whole(self) -> Iterator[Path]:
        for index in range(10**6):
            path = self.segment(index)
            if not is_whole(path):
                return
            yield path

    def segment(self, index: int) -> Path:
        return self.own / f"{index:06d}.nut"

    @property
    def shown(self) -> list[int]:
        """Times of the frames that are encoded, in the clip's units."""
        return sorted(at for path in self.segments for at in times_of(path))

    @property
    def frames(self) -> int:
        return len(self.shown)

    def precision_of(self, run: Run) -> str:
        """What the run computes in, which is what it began with.

        Raises:
            UsageError: that is int8, which this machine cannot.
        """
        place = self.folder / "precision"
        if not place.is_file():
            precision = settled_precision(run.settings.precision, device_of(run.model), run.model)
            write_bytes(place, precision.encode())
        begun = place.read_text()
        if begun == "int8" and run.settings.precision == "auto" and begun not in precisions_of(run.model):
            raise UsageError(
                f"{run.out}: was begun in int8, which cannot be done here; go on where it was begun, "
                "or start over with another `precision` and `overwrite`"
            )
        return begun

    @property
    def matrix(self) -> bytes:
        place = self.own / "matrix"
        return place.read_bytes() if place.is_file() else b""

    @property
    def failed(self) -> list[int]:
        """Frames that were passed through, counted from 0."""
        places = [self.own / "failed.json", *self.own.glob("*.failed")]  # of all, and of segments made by others
        return sorted({frame for place in places if place.is_file() for frame in json.loads(place.read_text())})

    @property
    def light(self) -> Light:
        place = self.own / "light.json"
        return Light(*map(bytes.fromhex, json.loads(place.read_text()))) if place.is_file() else Light()

    def note_light(self, light: Light) -> None:
        write_bytes(self.own / "light.json", json.dumps([light.mastering.hex(), light.content.hex()]).encode())

    @property
    def damage(self) -> Damage:
        """What of the clip could not be read before."""
        place = self.own / "damage.json"
        return Damage.of(json.loads(place.read_text())) if place.is_file() else Damage()

    def note(self, failed: list[int], damage: Damage) -> None:
        """Remember what went wrong, in case the run is interrupted."""
        if failed:
            write_bytes(self.own / "failed.json", json.dumps(failed).encode())
        if damage:
            before = self.damage
            before.add(damage)
            write_bytes(self.own / "damage.json", json.dumps(before.as_dict()).encode())


def manifest_beside(out: Path) -> Path:
    """Where the manifest of a run stands until its result is whole."""
    return unfinished(out) / "manifest.json"


def differently(place: Path) -> str:
    """How the run of a manifest was begun, which is none of the present ones."""
    begun: Any = None
    with suppress(ValueError):
        begun = json.loads(place.read_text(encoding="utf-8"))
    if isinstance(begun, dict) and begun.get("method") != METHOD:
        return "by another version of derain"
    return "with another source or other settings"


def clear(folder: Path) -> None:
    """Remove what runs wrote into their folder, but for the lock; what else somebody put there stays."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            if OF_A_TRACK.fullmatch(path.name):
                clear(path)
                with suppress(OSError):
                    path.rmdir()
        elif OWN_NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def manifest(run: Run) -> str:
    """What a run is of; only one of the same may go on with its results."""
    origin = {"method": METHOD, "source": sha256(run.source), "weights": fingerprint(run.model)}
    settings = run.settings.decisive() | {"segment": Work.SEGMENT_FRAMES}
    return json.dumps(origin | {"settings": settings}, indent=1, default=float)
