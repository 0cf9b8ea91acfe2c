"""What the benchmarks are run on: phantoms of several sizes and real crops, each a folder.

A case's folder holds its images (uncompressed), a crop of the first one to warm up with, the
bundle, and ``case.json``. Cases of equal classes and network share their fitted weights.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATCH = (128, 128, 128)
CROPS = 8  # hippocampus crops
SAMPLE = "KDSegmentation/Resources/SampleData/ICBM152_T1.nii.gz"
HIPPOCAMPI = ((26.0, -21.0, -17.0), (-26.0, -21.0, -17.0))  # in the sample, RAS mm


@dataclass(frozen=True)
class Phantom:
    """Voxels and mm of the volume, mm that the network sees (x, y, z each), classes, network."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    seen: tuple[float, float, float]
    classes: int
    network: str = ""  # "", "instance" or "ensemble"


# no slice is over three times as thick as a voxel is wide: there nnU-Net would take the nearest
# slice in place of interpolating, and labels could not agree
SEEN = (1.6, 1.6, 1.6)
_VOLUMES = {
    "ct160": ((256, 256, 160), (1.6, 1.6, 1.6)),
    "ct128": ((512, 512, 128), (0.8, 0.8, 2.0)),
    "ct300": ((512, 512, 300), (0.8, 0.8, 1.2)),
}
PHANTOMS = {
    f"{name}-{classes}": Phantom(size, spacing, SEEN, classes)
    for name, (size, spacing) in _VOLUMES.items()
    for classes in (4, 8, 20, 50, 104)
}
PHANTOMS |= {
    f"ct128-{classes}-{network}": Phantom(*_VOLUMES["ct128"], SEEN, classes, network)
    for classes in (4, 20)
    for network in ("instance", "ensemble")
}
# of one spacing, ever larger
PHANTOMS |= {
    f"grow{x}x{z}-4": Phantom((x, x, z), (0.8, 0.8, 1.2), SEEN, 4)
    for x, z in ((128, 80), (192, 160), (256, 160), (384, 160), (384, 256), (512, 200), (512, 250))
}
PHANTOMS["tiny-4"] = Phantom((64, 48, 32), (2.8, 2.8, 2.5), (2.0, 2.0, 2.0), 4)
PHANTOMS["tiny-4-instance"] = Phantom((64, 48, 32), (2.8, 2.8, 2.5), (2.0, 2.0, 2.0), 4, "instance")
BUNDLED = {"hippocampus-student": "HippocampusMR-student"}
BUNDLED["hippocampus-ensemble"] = "HippocampusMR-ensemble"
CASES = (*PHANTOMS, *BUNDLED)


def prepare(folder: Path, case: str, steps: int) -> None:
    """The case's images and its bundle, once; ``steps`` of fitting the network."""
    if not (folder / "case.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if case in BUNDLED:
            facts = _prepare_crops(folder, case)
        else:
            facts = _prepare_phantom(folder, case, steps)
        (folder / "case.json").write_text(json.dumps(facts), encoding="utf-8")
        _convert(folder / "bundle")
    if not (folder / "crop.nii").is_file():
        _cut_crop(folder)


def _convert(bundle: Path) -> None:
    """For the engines that keep what they converted: a first run that does it needs torch."""
    from KDSegmentationLogic.bundles.bundle import load_bundle
    from KDSegmentationLogic.inference.pipeline import Predictor, Settings

    for engine in ("openvino", "onnxruntime"):
        Predictor(load_bundle(bundle), Settings("cpu", engine, os.cpu_count()))


def images_of(folder: Path) -> list[Path]:
    """In the order in which they are segmented."""
    facts = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    return [folder / name for name in facts.get("images", ["image.nii"])]


def _prepare_phantom(folder: Path, case: str, steps: int) -> dict[str, Any]:
    from benchmarks import phantoms

    wanted = PHANTOMS[case]
    tiny = case.startswith("tiny")
    share = phantoms.make_volume(wanted.size, wanted.spacing, wanted.classes, folder / "image.nii")
    bundle = folder / "bundle"
    if not (bundle / "configs").is_dir():
        fitted = None if tiny else _fitted(folder.parent, wanted)
        if fitted:
            shutil.copytree(fitted, bundle)
        else:
            phantoms.make_bundle(
                bundle,
                wanted.classes,
                wanted.seen,
                (64, 64, 64) if tiny else PATCH,
                steps,
                "plain_unet" if wanted.network == "instance" else "student_unet",
                5 if wanted.network == "ensemble" else 1,
                phantoms.SMALL[0] if tiny else phantoms.LARGE,
            )
    return {
        "size": wanted.size,
        "spacing": wanted.spacing,
        "classes": wanted.classes,
        "body": share,
        "flop_a_voxel": _flop(bundle, wanted),
    }


def _fitted(folder: Path, wanted: Phantom) -> Path | None:
    """A bundle of another case with the same classes, network and spacing."""
    for name, other in PHANTOMS.items():
        alike = (other.classes, other.network, other.seen) == (
            wanted.classes,
            wanted.network,
            wanted.seen,
        )
        if alike and (folder / name / "bundle" / "configs").is_dir():
            return folder / name / "bundle"
    return None


def _prepare_crops(folder: Path, case: str) -> dict[str, Any]:
    """Test cases of the data set where KDSEG_DATA has them, else both sides of the sample."""
    import SimpleITK as sitk

    shutil.copytree(
        ROOT / "Resources" / "Models" / BUNDLED[case], folder / "bundle", dirs_exist_ok=True
    )
    data = Path(os.environ.get("KDSEG_DATA", "")) / "Task04_Hippocampus" / "imagesTs"
    found = sorted(data.glob("*.nii.gz"))[:CROPS] if os.environ.get("KDSEG_DATA") else []
    crops = [sitk.ReadImage(str(path)) for path in found] or _sample_crops()
    for k, crop in enumerate(crops):  # nnU-Net does not turn images: give it what we see
        turned = sitk.Cast(sitk.DICOMOrient(crop, "LPS"), sitk.sitkFloat32)
        sitk.WriteImage(turned, str(folder / f"image{k}.nii"))
    return {
        "size": crops[0].GetSize(),
        "classes": 3,
        "body": None,
        "flop_a_voxel": None,
        "images": [f"image{k}.nii" for k in range(len(crops))],
        "data": "Task04_Hippocampus" if found else "ICBM 152 template",
    }


def _sample_crops() -> list[Any]:
    import SimpleITK as sitk

    whole, size = sitk.ReadImage(str(ROOT / SAMPLE)), (40, 56, 40)
    crops = []
    for x, y, z in HIPPOCAMPI:
        centre = whole.TransformPhysicalPointToIndex((-x, -y, z))
        corner = [c - n // 2 for c, n in zip(centre, size, strict=True)]
        crops.append(sitk.RegionOfInterest(whole, size, corner))
    return crops


def _cut_crop(folder: Path) -> None:
    """The middle third of the first image, or all of it if it is small."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(images_of(folder)[0]))
    size = [max(min(n, 48), n // 3) for n in image.GetSize()]
    corner = [(n - m) // 2 for n, m in zip(image.GetSize(), size, strict=True)]
    sitk.WriteImage(sitk.RegionOfInterest(image, size, corner), str(folder / "crop.nii"))


def _flop(bundle: Path, wanted: Phantom) -> float:
    """Of one network, for each voxel of its grid."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from KDSegmentationLogic.bundles.bundle import load_bundle
    from KDSegmentationLogic.inference.engines.estimate import Logits
    from KDSegmentationLogic.networks.registry import build_network

    member = load_bundle(bundle).description.members[0]
    on_grid = [
        round(n * a / b) for n, a, b in zip(wanted.size, wanted.spacing, wanted.seen, strict=True)
    ]
    with torch.device("meta"):
        network = build_network(member.architecture, member.arguments).eval()
        shape = [-(-n // d) * d for n, d in zip(on_grid[::-1], network.divisor, strict=True)]
        with FlopCounterMode(display=False) as counter:
            Logits(network)(torch.empty(1, 1, *shape))
    return float(counter.get_total_flops() / math.prod(shape))
