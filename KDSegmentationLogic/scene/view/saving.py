"""The formats that a segmentation can be saved in. Standard library only."""

from __future__ import annotations

import re

from KDSegmentationLogic.scene.view.text import tr as _

FORMATS = (".seg.nrrd", ".nii.gz", ".stl", ".dcm")


def format_title(ending: str) -> str:
    """A format's name in the list."""
    titles = {
        ".seg.nrrd": _("Segmentation (.seg.nrrd)"),
        ".nii.gz": _("NIfTI label map (.nii.gz)"),
        ".stl": _("Surfaces (.stl)"),
        ".dcm": _("DICOM SEG (.dcm)"),
    }
    return titles[ending]


def proposed_name(name: str, ending: str) -> str:
    """A file name of a node's name, without what some systems refuse in one."""
    return re.sub(r'[\\/:*?"<>|\s]+', "-", name).strip("-.") + ending


def with_ending(path: str, ending: str) -> str:
    """The path ends as the format does, whatever the dialog made of it."""
    return path if path.lower().endswith(ending) else path + ending
