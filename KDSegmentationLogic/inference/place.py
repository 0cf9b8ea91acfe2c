"""Cutting a block out of an image, and putting results back to where it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.inference.region import Block, Box, Region, inside


@dataclass(frozen=True)
class Place:
    """Where a result lies: the block that was asked for, within what the network saw."""

    whole: sitk.Image
    seen: Block
    block: Block
    region: Region | None

    def wanted(self, image: sitk.Image) -> sitk.Image:
        """Of an image on what was seen the block, with zeros outside of a box."""
        start = tuple(b - s for b, s in zip(self.block[0], self.seen[0], strict=True))
        image = cut(image, (start, self.block[1]))
        if not isinstance(self.region, Box):
            return image
        array = sitk.GetArrayFromImage(image)
        array[~inside(image, self.region)] = 0
        kept = sitk.GetImageFromArray(array, isVector=image.GetNumberOfComponentsPerPixel() > 1)
        kept.CopyInformation(image)
        return kept

    def embed(self, part: sitk.Image, outside: float = 0.0) -> sitk.Image:
        """The block at its place on the grid of the whole; zeros around it.

        ``outside`` : the first component there.
        """
        if self.block[1] == self.whole.GetSize():
            return part
        components = part.GetNumberOfComponentsPerPixel()
        result = sitk.Image(self.whole.GetSize(), part.GetPixelID(), components)
        if outside:
            first = [outside] + [0.0] * (components - 1)
            array = np.broadcast_to(
                np.array(first, np.float32), (*self.whole.GetSize()[::-1], components)
            )
            result = sitk.GetImageFromArray(array, isVector=True)
        result.CopyInformation(self.whole)
        start, size = self.block
        return sitk.Paste(result, part, size, [0] * len(size), start)


def cut(image: sitk.Image, block: Block) -> sitk.Image:
    """The block of an image; the image itself where that is all of it."""
    start, size = block
    if size == image.GetSize():
        return image
    return sitk.RegionOfInterest(image, size, start)
