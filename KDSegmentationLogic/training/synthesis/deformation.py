"""Another head from a head: mirrored, turned, scaled and bent, by TorchIO's transforms."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch
import torchio as tio

SCALES, DEGREES, SHIFT_MM = 0.1, 10.0, 5.0
CONTROL_POINTS, BEND_MM = 9, 6.0
_COARSE = 4  # the bending is smooth over 20 mm and more, and is worked out at every fourth voxel


def deform(tissues: sitk.Image, draws: np.random.Generator) -> sitk.Image:
    """A label map on its own grid after one random transform, by nearest neighbour.

    TorchIO draws from torch's global generator. Affine and B-spline are composed and applied
    once: TorchIO's own composition evaluates the B-spline at every voxel, 17 s a head
    where this takes about one.
    """
    if draws.random() < 0.5:
        flipped = sitk.GetImageFromArray(
            np.ascontiguousarray(sitk.GetArrayViewFromImage(tissues)[:, :, ::-1])
        )
        flipped.CopyInformation(tissues)
        tissues = flipped
    coarse = _coarse(tissues)
    transform = sitk.CompositeTransform([_affine(coarse), _bending(coarse)])
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        coarse.GetSize(),
        coarse.GetOrigin(),
        coarse.GetSpacing(),
        coarse.GetDirection(),
    )
    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(tissues)
    resample.SetInterpolator(sitk.sitkNearestNeighbor)
    resample.SetTransform(sitk.DisplacementFieldTransform(field))
    return resample.Execute(tissues)


def _affine(image: sitk.Image) -> sitk.Transform:
    scales, degrees, shift = tio.RandomAffine.get_params(
        (1 - SCALES, 1 + SCALES) * 3, (-DEGREES, DEGREES) * 3, (-SHIFT_MM, SHIFT_MM) * 3, False
    )
    affine = tio.Affine(_three(scales), _three(degrees), _three(shift), center="image")
    empty = torch.zeros(1, *image.GetSize())
    return affine.get_affine_transform(tio.LabelMap(tensor=empty, affine=_ras(image)))


def _bending(image: sitk.Image) -> sitk.Transform:
    points, bend = (CONTROL_POINTS,) * 3, (BEND_MM,) * 3
    drawn = tio.RandomElasticDeformation.get_params(points, bend, 1)
    return tio.ElasticDeformation(drawn, bend).get_bspline_transform(image)


def _three(values: torch.Tensor) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


def _coarse(image: sitk.Image) -> sitk.Image:
    """An empty image on every fourth voxel, over the same box and a little more."""
    size = [count // _COARSE + 2 for count in image.GetSize()]
    result = sitk.Image(size, sitk.sitkUInt8)
    result.SetDirection(image.GetDirection())
    result.SetOrigin(image.GetOrigin())
    result.SetSpacing([step * _COARSE for step in image.GetSpacing()])
    return result


def _ras(image: sitk.Image) -> np.ndarray:
    """Voxel index to RAS mm, 4 x 4, as TorchIO takes it."""
    result = np.eye(4)
    axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    result[:3, :3] = np.diag([-1, -1, 1]) @ axes
    result[:3, 3] = np.array([-1, -1, 1]) * image.GetOrigin()
    return result
