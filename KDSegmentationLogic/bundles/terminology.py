"""A structure's codes in the one line of text that Slicer stores with a segment.

Standard library only.
"""

from __future__ import annotations

from KDSegmentationLogic.bundles.description import Code, Terminology

_CONTEXT = "Segmentation category and type - DICOM master list"
_ANATOMY = "Anatomic codes - DICOM master list"


def terminology_tag(terminology: Terminology) -> str:
    """Seven parts between ``~``, each code as ``scheme^value^meaning``; a missing one is ``^^``.

    They are: context, category, type, its modifier, anatomic context, region, its modifier.
    """
    codes = (terminology.category, terminology.type, terminology.modifier)
    return "~".join([_CONTEXT, *map(_coded, codes), _ANATOMY, _coded(None), _coded(None)])


def _coded(code: Code | None) -> str:
    return "^".join([code.scheme, code.value, code.meaning]) if code else "^^"
