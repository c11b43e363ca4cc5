"""Cut-outs of objects on transparency: what scenes are made of, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

#: Cut-outs are kept no larger than this, in pixels; scenes are smaller.
LARGEST = 160


@dataclass(frozen=True, slots=True)
class Cutout:
    """One object.

    Parameters
    ----------
    key : str
        The synset it shows.
    name : str
        Where it comes from, such as ``animals/mammals/otter``.
    picture : PIL.Image.Image
        RGBA, cropped to what is opaque, at most `LARGEST` pixels wide and high.
    """

    key: str
    name: str
    picture: Image.Image


@dataclass(frozen=True, slots=True)
class Companion:
    """Something that stands beside something else more often than chance would have it.

    Parameters
    ----------
    key, beside : str
        Two synsets, neither above the other.
    probability : float
        How often a scene whose main object is `beside` has `key` too.
    """

    key: str
    beside: str
    probability: float


@dataclass(frozen=True, slots=True)
class Collection:
    """Cut-outs that belong together.

    Parameters
    ----------
    title : str
        What they are, in a few words.
    cutouts : tuple of Cutout
        In a fixed order.
    companions : tuple of Companion
        What is planted in the scenes made of them.
    """

    title: str
    cutouts: tuple[Cutout, ...]
    companions: tuple[Companion, ...]

    @property
    def keys(self) -> list[str]:
        """The synsets, each once, ascending."""
        return sorted({each.key for each in self.cutouts})


def trimmed(picture: Image.Image) -> Image.Image:
    """RGBA, without the transparent margin, at most `LARGEST` pixels wide and high.

    Raises
    ------
    ValueError
        For a picture that is transparent all over.
    """
    picture = picture.convert("RGBA")
    box = picture.getchannel("A").point(lambda alpha: 255 if alpha > 24 else 0).getbbox()
    if box is None:
        raise ValueError("the picture is transparent all over")
    picture = picture.crop(box)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return picture
