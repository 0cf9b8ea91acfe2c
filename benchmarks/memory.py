"""Peak memory and time of segmenting a large CT under a memory limit.

    python benchmarks/memory.py -o results

A CT-like volume of 512 x 512 x 400 voxels (0.7 x 0.7 x 1.0 mm, int16) is made from random
blobs and segmented by a student of 20 structures with random weights at 1.5 mm. Random weights
cost the same network time as trained ones, and give many more boundaries, which is the worst
case for the way back to the input's grid. Windows overlap by a quarter.

The work runs in a child process, whose peak resident memory counts from its start: Python,
torch, reading and writing the files included. Ends with status 1 where the peak is above the
limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

GIB = 2**30
SPACING = (0.7, 0.7, 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="folder for memory.json")
    parser.add_argument(
        "--size", type=int, nargs=3, default=(512, 512, 400), metavar=("X", "Y", "Z")
    )
    parser.add_argument("--limit", type=float, default=3.0, help="memory limit, GiB")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        measured = segment(arguments.child, arguments.limit, arguments.threads)
        (arguments.child / "measured.json").write_text(json.dumps(measured), encoding="utf-8")
        return 0

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_volume(folder / "ct.nii", arguments.size)
        make_student(folder / "student20")
        command = [sys.executable, __file__, "--child", name]
        command += ["--limit", str(arguments.limit), "--threads", str(arguments.threads)]
        subprocess.run(command, check=True)
        measured = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    measured |= {
        "size": list(arguments.size),
        "limit_gib": arguments.limit,
        "threads": arguments.threads,
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
    }
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        text = json.dumps(measured, indent=2) + "\n"
        (arguments.output / "memory.json").write_text(text, encoding="utf-8")
    print(as_table(measured))
    return 0 if measured["peak_gib"] < arguments.limit else 1


def make_volume(path: Path, size: tuple[int, int, int]) -> None:
    """Air, a body of soft tissue, and blobs of fat to bone in it, with noise."""
    import numpy as np
    import SimpleITK as sitk
    from scipy import ndimage

    random = np.random.default_rng(0)
    coarse = [max(2, n // 16) for n in reversed(size)]
    blobs = ndimage.gaussian_filter(random.standard_normal(coarse), 1.0)
    blobs = 40.0 + 150.0 * blobs / blobs.std()
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in coarse], indexing="ij")
    blobs[axes[1] ** 2 + axes[2] ** 2 > 0.8] = -1000.0
    image = sitk.GetImageFromArray(blobs.astype(np.float32))
    image.SetSpacing([n / c for n, c in zip(size, reversed(coarse), strict=True)])
    resample = sitk.ResampleImageFilter()
    resample.SetSize(size)
    resample.SetUseNearestNeighborExtrapolator(True)
    fine = sitk.Cast(
        sitk.AdditiveGaussianNoise(resample.Execute(image), 20.0, 0.0, 0), sitk.sitkInt16
    )
    fine.SetSpacing(SPACING)
    sitk.WriteImage(fine, str(path))


def make_student(folder: Path) -> None:
    import torch

    from KDSegmentationLogic.bundles import description as d
    from KDSegmentationLogic.bundles.writing import save_bundle
    from KDSegmentationLogic.networks.registry import build_network

    labels = tuple(d.Label(k, f"structure {k}", (10 * k, 100, 250 - 10 * k)) for k in range(1, 21))
    arguments = {"in_channels": 1, "classes": 21, "widths": [24, 48, 96, 160]}
    member = d.Member(
        "student_unet",
        arguments,
        "models/model.safetensors",
        d.NO_SUM,
        (128, 128, 128),
        overlap=0.25,
    )
    described = d.Description(
        format_version=d.FORMAT_VERSION,
        kind="student",
        title="Twenty structures",
        summary="Random weights.",
        channels=(
            d.Channel(
                "CT", "CT", d.Normalisation("fixed", clip=(-1000.0, 1000.0), mean=0.0, std=300.0)
            ),
        ),
        grid=d.Grid(3, (1.5, 1.5, 1.5)),
        members=(member,),
        labels=labels,
        field_of_view=d.FieldOfView("whole"),
        expects=d.Expectation("CT"),
        licence="Apache-2.0",
        citation="none",
        training_data="none",
    )
    torch.manual_seed(0)
    save_bundle(folder, described, [build_network("student_unet", arguments)])


def segment(folder: Path, limit_gib: float, threads: int) -> dict[str, object]:
    """The child's work: file to file, as the command line does it."""
    start = time.perf_counter()
    from KDSegmentationLogic.bundles.bundle import load_bundle
    from KDSegmentationLogic.imaging.reading import read_image
    from KDSegmentationLogic.imaging.writing import write_image
    from KDSegmentationLogic.inference.pipeline import Predictor, Settings

    def now() -> float:
        return round(time.perf_counter() - start, 2)

    seconds = {"import": now()}
    settings = Settings(device="cpu", memory_limit_gib=limit_gib, threads=threads)
    predictor = Predictor(load_bundle(folder / "student20"), settings)
    seconds["load model"] = round(now() - sum(seconds.values()), 2)
    image = read_image(folder / "ct.nii")
    seconds["read"] = round(now() - sum(seconds.values()), 2)
    before = peak_bytes()
    result = predictor.segment([image])
    seconds |= {stage: round(value, 2) for stage, value in result.seconds.items()}
    begun = now()
    write_image(result.labels, folder / "labels.nii.gz")
    seconds["write"] = round(now() - begun, 2)
    return {
        "seconds": seconds,
        "total_seconds": now(),
        "peak_before_gib": round(before / GIB, 3),
        "peak_gib": round(peak_bytes() / GIB, 3),
        "notices": result.notices,
    }


def peak_bytes() -> int:
    """Peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would begin with what the parent held
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import psutil

    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):
        return int(memory.peak_wset)
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def as_table(measured: dict[str, object]) -> str:
    seconds = measured["seconds"]
    assert isinstance(seconds, dict)
    size = " x ".join(str(n) for n in measured["size"])  # type: ignore[attr-defined]
    names = [
        "volume",
        "limit, GiB",
        "peak, GiB",
        "threads",
        "total, s",
        *(f"{s}, s" for s in seconds),
    ]
    values = [size, *(measured[k] for k in ("limit_gib", "peak_gib", "threads", "total_seconds"))]
    rows = [names, ["---"] * len(names), [*values, *seconds.values()]]
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
