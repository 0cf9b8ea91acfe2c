"""The layout of BraTS 2018: brain MR in four contrasts, with tumour labels.

    HGG/<case>/<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg
    LGG/<case>/...

Labels as they are stored: 1 necrotic and non-enhancing core, 2 oedema, 4 enhancing tumour; there
is no 3. The customary regions are unions: whole tumour 1 + 2 + 4, core 1 + 4, enhancing 4.
``<case>`` ends in the number of the visit; what is before it is the patient. Menze et al. 2015,
doi:10.1109/TMI.2014.2377694.
"""

from __future__ import annotations

from pathlib import Path

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.layouts.base import UNLABELLED, About, CaseFiles, Dataset, Layout
from KDSegmentationLogic.training.layouts.reading import (
    assembled,
    check_name,
    check_some,
    listed_cases,
    visible,
)

CHANNELS = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
LABELS = {1: "Necrotic core", 2: "Oedema", 4: "Enhancing tumour"}
GRADES = ("HGG", "LGG")
ABOUT = About(
    "Glioma in MR",
    "BraTS 2018: necrotic core, oedema and enhancing tumour in T1, T1ce, T2 and FLAIR",
    "Menze et al. 2015, The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS),"
    " doi:10.1109/TMI.2014.2377694",
)
_ENDINGS = (".nii.gz", ".nii")


def read_brats2018(folder: Path) -> Dataset:
    """Read a BraTS 2018 training folder, and ``splits.json`` where there is one.

    Raises
    ------
    DatasetError : a contrast or the labels of a case are missing; a case in both grades.
    """
    folder = Path(folder)
    cases: dict[str, CaseFiles] = {}
    for grade in GRADES:
        for place in visible(folder / grade):
            if not place.is_dir():
                continue
            case = _case(place)
            if case.name in cases:
                raise DatasetError(
                    f"{folder} holds {case.name} in HGG and in LGG.", "Remove one of them."
                )
            cases[case.name] = case
    check_some(cases, folder, "a folder HGG/<case> with <case>_t1.nii.gz and so on")
    own: dict[str, tuple[str, ...]] = {
        "train": tuple(cases),
        "val": (),
        "test": (),
        UNLABELLED: (),
    }
    patients = {name: name.rpartition("_")[0] or name for name in cases}
    listed = listed_cases(folder, cases, own)
    return assembled(folder, tuple(CHANNELS.values()), LABELS, listed, patients, ABOUT)


def _case(place: Path) -> CaseFiles:
    check_name(place.name, place.parent)
    files = {}
    for end in (*CHANNELS, "seg"):
        stem = place / f"{place.name}_{end}"
        found = [p for e in _ENDINGS if (p := stem.with_name(f"{stem.name}{e}")).is_file()]
        if not found:
            raise DatasetError(
                f"{place} lacks {stem.name}.nii.gz.", "Complete the case, or remove its folder."
            )
        files[end] = found[0]
    return CaseFiles(place.name, tuple(files[end] for end in CHANNELS), files["seg"])


def _recognise(folder: Path) -> bool:
    return any((folder / grade).is_dir() for grade in GRADES)


LAYOUT = Layout("BraTS 2018", "folders HGG and LGG", _recognise, read_brats2018)
