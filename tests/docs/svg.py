"""Compares two SVG figures by what they show.

The data must agree: the elements, their styles, the numbers of every path, the pixels of every
image, and what every text says. Where a text stands is left out, since that depends on the
fonts of the machine.
"""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
from PIL import Image

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
TOLERANCE = 0.5  # points
HREF = "{http://www.w3.org/1999/xlink}href"


def difference(old: str, new: str) -> str | None:
    """The first thing in which two figures differ, or None."""
    return _compare(ElementTree.fromstring(old), ElementTree.fromstring(new), "svg")


def _compare(old: ElementTree.Element, new: ElementTree.Element, where: str) -> str | None:
    tag = old.tag.rpartition("}")[2]
    if old.tag != new.tag:
        return f"{where}: element {old.tag} became {new.tag}"
    if tag == "metadata":
        return None
    if tag in ("text", "tspan"):
        before, after = "".join(old.itertext()), "".join(new.itertext())
        return None if before == after else f"{where}: text {before!r} became {after!r}"
    names = {*old.keys(), *new.keys()}
    for name in sorted(names - {"id", "clip-path"}):
        before, after = old.get(name, ""), new.get(name, "")
        if name == HREF and before.startswith("data:image"):
            message = _compare_images(before, after)
        elif name == HREF:
            message = None  # names are checked by what they name
        else:
            message = _compare_numbers(before, after)
        if message:
            return f"{where}/@{name.rpartition('}')[2]}: {message}"
    if len(old) != len(new):
        return f"{where}: {len(old)} elements became {len(new)}"
    for i, (one, other) in enumerate(zip(old, new, strict=True)):
        if message := _compare(one, other, f"{where}/{one.get('id') or i}"):
            return message
    return None


def _compare_numbers(old: str, new: str) -> str | None:
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return f"{old[:60]!r} became {new[:60]!r}"
    for before, after in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True):
        # Opacity and the like lie between 0 and 1; lengths are in points.
        allowed = 0.02 if "opacity" in old else TOLERANCE
        if abs(float(before) - float(after)) > allowed:
            return f"{before} became {after}"
    return None


def _compare_images(old: str, new: str) -> str | None:
    if not new.startswith("data:image"):
        return "an image disappeared"
    before, after = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))), dtype=float)
        for data in (old, new)
    )
    if before.shape != after.shape:
        return f"an image of shape {before.shape} became one of {after.shape}"
    worst = float(np.abs(before - after).max())
    return None if worst <= 4 else f"a pixel differs by {worst:.0f} of 255"
