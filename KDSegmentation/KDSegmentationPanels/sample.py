"""The sample image: the ICBM 152 template, which comes with the module."""

from __future__ import annotations

from pathlib import Path

import slicer

FILE = Path(__file__).resolve().parent.parent / "Resources" / "SampleData" / "ICBM152_T1.nii.gz"
SHA256 = "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6"
NAME = "ICBM152_T1"
# The right hippocampus in MNI coordinates (RAS mm): slices open there.
HIPPOCAMPUS = (26.0, -21.0, -17.0)


def load_sample():
    """Load the template, show it in all slice views, at the right hippocampus.

    Raises
    ------
    SceneError : the file is not there.
    """
    from KDSegmentationLogic.errors import SceneError
    from KDSegmentationLogic.imaging.reading import read_image
    from KDSegmentationLogic.scene.view import messages
    from KDSegmentationLogic.scene.volumes import volume_from_image

    if not FILE.is_file():
        message = messages.sample_missing()
        raise SceneError(message.cause, message.remedy)
    node = volume_from_image(read_image(FILE), NAME)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    how = slicer.vtkMRMLSliceNode.OffsetJumpSlice
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *HIPPOCAMPUS, how)
    return node


def register_sample():
    """Offer the template in Slicer's module Sample Data, checked like a downloaded one."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="KD Segmentation",
        sampleName=NAME,
        uris=FILE.as_uri(),
        fileNames="ICBM152_T1.nii.gz",
        nodeNames=NAME,
        checksums="SHA256:" + SHA256,
    )
