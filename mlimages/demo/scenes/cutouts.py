"""Cut-outs: RGBA images of single objects, from which scenes are composed."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

#: Largest width and height of a cut-out, in pixels; scenes are smaller.
LARGEST = 160


@dataclass(frozen=True, slots=True)
class Cutout:
    """A cut-out of one object: the WordNet id of the synset it shows, and its origin, such as
    ``animals/mammals/otter``.

    The picture is RGBA, cropped to its opaque pixels, at most `LARGEST` pixels wide and high.
    """

    key: str
    name: str
    picture: Image.Image


@dataclass(frozen=True, slots=True)
class Companion:
    """A planted co-occurrence: a scene whose main object is `beside` contains `key` too, with the given probability.

    Neither synset is an ancestor of the other.
    """

    key: str
    beside: str
    probability: float


@dataclass(frozen=True, slots=True)
class Collection:
    """A set of cut-outs, in a fixed order, and the co-occurrences to plant in scenes."""

    title: str
    cutouts: tuple[Cutout, ...]
    companions: tuple[Companion, ...]

    @property
    def keys(self) -> list[str]:
        """The synset ids of the cut-outs, unique and sorted."""
        return sorted({each.key for each in self.cutouts})


def trimmed(picture: Image.Image) -> Image.Image:
    """Convert to RGBA, crop the transparent margin, and scale down to at most `LARGEST` pixels.

    Raises a ValueError if no pixel is opaque.
    """
    picture = picture.convert("RGBA")
    box = picture.getchannel("A").point(lambda alpha: 255 if alpha > 24 else 0).getbbox()
    if box is None:
        raise ValueError("the picture is transparent all over")
    picture = picture.crop(box)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return picture
