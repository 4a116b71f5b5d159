"""Compares two SVG figures by what they show.

The data must agree: the elements, their styles, the numbers of every path, the pixels of every
image, and what every text says. Where a text stands is left out: that depends on the fonts of
the machine.
"""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
from PIL import Image

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
REFERENCE = re.compile(r"^#(.+)$|^url\(#(.+)\)$")
TOLERANCE = 0.5  # points
ROUNDING = 4  # of 255, in a pixel or a colour
OPACITY = 0.04  # of a cell: nobody sees it, and what a training amplifies may change it so much
# matplotlib writes "none" for what is wholly invisible; what is as good as that may become it.
FAINT = re.compile(r"fill: (?:none|#[0-9a-fA-F]{6}; (?:fill-)?opacity: (0(?:\.0\d*)?)(?![.\d]))")
HREF = "{http://www.w3.org/1999/xlink}href"


def difference(old: str, new: str) -> str | None:
    """The first thing in which two figures differ, or None."""
    return _Comparison(ElementTree.fromstring(old), ElementTree.fromstring(new)).run()


class _Comparison:
    def __init__(self, old: ElementTree.Element, new: ElementTree.Element) -> None:
        self.old, self.new = old, new
        # Names are free, but what they name must be the same element: so count its place.
        self.old_places, self.new_places = (
            {element.get("id", ""): i for i, element in enumerate(root.iter())}
            for root in (old, new)
        )

    def run(self) -> str | None:
        return self._compare(self.old, self.new, "svg")

    def _compare(
        self, old: ElementTree.Element, new: ElementTree.Element, where: str
    ) -> str | None:
        tag = old.tag.rpartition("}")[2]
        if old.tag != new.tag:
            return f"{where}: element {old.tag} became {new.tag}"
        if tag == "metadata":
            return None
        if tag in ("text", "tspan"):
            before, after = "".join(old.itertext()), "".join(new.itertext())
            if before != after:
                return f"{where}: text {before!r} became {after!r}"
            names, children = {"style"}, False
        else:
            names, children = {*old.keys(), *new.keys()} - {"id"}, True
        for name in sorted(names):
            if message := self._attribute(name, old.get(name, ""), new.get(name, "")):
                return f"{where}/@{name.rpartition('}')[2]}: {message}"
        if not children:
            return None
        if len(old) != len(new):
            return f"{where}: {len(old)} elements became {len(new)}"
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            if message := self._compare(one, other, f"{where}/{one.get('id') or i}"):
                return message
        return None

    def _attribute(self, name: str, old: str, new: str) -> str | None:
        if old.startswith("data:image"):
            return _images(old, new)
        before, after = REFERENCE.match(old), REFERENCE.match(new)
        if before and after and (name == HREF or name == "clip-path"):
            here = self.old_places.get(before[1] or before[2])
            there = self.new_places.get(after[1] or after[2])
            return None if here == there else f"{old} and {new} name different elements"
        return _style(old, new) if name == "style" else _numbers(old, new, TOLERANCE)


def _style(old: str, new: str) -> str | None:
    faint = FAINT.search(old), FAINT.search(new)
    if faint[0] and faint[1]:
        opacities = [float(match[1] or 0) for match in faint if match]
        if max(opacities) - min(opacities) <= OPACITY:
            old, new = FAINT.sub("fill: none", old), FAINT.sub("fill: none", new)
    colours = [*zip(COLOUR.findall(old), COLOUR.findall(new), strict=False)]
    for before, after in colours:
        channels = zip(bytes.fromhex(before[1:]), bytes.fromhex(after[1:]), strict=True)
        if max(abs(a - b) for a, b in channels) > ROUNDING:
            return f"{before} became {after}"
    return _numbers(COLOUR.sub("colour", old), COLOUR.sub("colour", new), OPACITY)


def _numbers(old: str, new: str, tolerance: float) -> str | None:
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return f"{old[:60]!r} became {new[:60]!r}"
    for before, after in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True):
        if abs(float(before) - float(after)) > tolerance:
            return f"{before} became {after}"
    return None


def _images(old: str, new: str) -> str | None:
    if not new.startswith("data:image"):
        return "an image disappeared"
    before, after = (
        np.asarray(
            Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGBA"),
            dtype=float,
        )
        for data in (old, new)
    )
    if before.shape != after.shape:
        return f"an image of shape {before.shape} became one of {after.shape}"
    worst = float(np.abs(before - after).max())
    return None if worst <= ROUNDING else f"a pixel differs by {worst:.0f} of 255"
