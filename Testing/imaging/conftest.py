"""Makers of small images and DICOM files for the tests of reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def volume() -> sitk.Image:
    """An int16 volume of 6 x 5 x 4 voxels with an oblique grid, all values different."""
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6) - 40)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.1, -0.2, 0.3)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((0.5, 0.75, 2.0))
    image.SetOrigin((-10.0, 20.0, 30.0))
    return image


@pytest.fixture
def dicom_file(tmp_path: Path) -> Callable[..., Path]:
    """Write one DICOM slice: ``dicom_file("ct/1.dcm", z=3.0, ImageType=...)``.

    Keywords in capitals are DICOM attributes; None leaves one out. The pixels are
    ``100 * z + index``.
    """
    pydicom = pytest.importorskip("pydicom", reason="pydicom makes the DICOM files")
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    def write(
        name: str,
        z: float = 0.0,
        shape: tuple[int, ...] = (5, 6),
        storage: str = CTImageStorage,
        **attributes: object,
    ) -> Path:
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = storage
        data.SOPClassUID = storage
        data.SOPInstanceUID = generate_uid()
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        pixels = np.arange(np.prod(shape)).reshape(shape) + round(100 * z)
        fields: dict[str, object] = {
            "Modality": "CT",
            "SeriesInstanceUID": "1.2.3",
            "SeriesDescription": "Thorax",
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [-7.0, 8.0, z],
            "PixelSpacing": [0.5, 0.6],
            "SliceThickness": 3.0,
            "Rows": shape[-2],
            "Columns": shape[-1],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "PixelData": pixels.astype("<i2").tobytes(),
            **({"NumberOfFrames": shape[0]} if len(shape) == 3 else {}),
            **attributes,
        }
        for key, value in fields.items():
            if value is not None:
                setattr(data, key, value)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data.save_as(path, enforce_file_format=True)
        return path

    return write
