"""A comparison as a scene for Slicer and as a picture."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.child import in_child
from KDSegmentationLogic.commands.comparison import Comparison, Side, first_image
from KDSegmentationLogic.commands.tables import Row, agreement_rows, model_rows
from KDSegmentationLogic.errors import DependencyError, KDSegError
from KDSegmentationLogic.files import atomic_file
from KDSegmentationLogic.progress import Monitor

SCENE, PICTURE = "scene.mrb", "comparison.png"


@dataclass(frozen=True)
class Shown:
    """One model's result to be shown."""

    title: str
    labels: sitk.Image
    structures: tuple[Label, ...]
    seconds: float
    dice: Mapping[str, float]


@dataclass(frozen=True)
class Drawing:
    """All that a scene is built of, and the folder for its files, to be sent to a process."""

    name: str
    image: sitk.Image
    models: tuple[Shown, Shown]
    disagreement: sitk.Image
    uncertainty: sitk.Image | None
    tables: Mapping[str, Sequence[Row]]
    folder: Path


def draw_comparison(comparison: Comparison, folder: Path, monitor: Monitor) -> list[Path]:
    """Write ``scene.mrb`` and ``comparison.png``, as far as that is possible here.

    What is not possible (no Slicer, no OpenGL, a 2-D image) is a notice, not an error.
    Returns the files that were written.
    """
    image = first_image(comparison.case)
    if image.GetDimension() != 3:
        monitor.notice(f"No {SCENE} and {PICTURE}: Slicer's views are for volumes.")
        return []
    # A process that is ended on the way leaves things behind, but not beside the user's files.
    with tempfile.TemporaryDirectory(prefix="kdseg-", ignore_cleanup_errors=True) as place:
        drawing = Drawing(
            comparison.case.name,
            image,
            (_shown(comparison.first), _shown(comparison.second)),
            comparison.agreement.disagreement,
            comparison.second.measured.result.entropy,
            {"Agreement": agreement_rows([comparison]), "Models": model_rows([comparison])},
            Path(place),
        )
        try:
            in_child(draw, drawing, monitor)
        except KDSegError as error:
            monitor.notice(f"Not all of {SCENE} and {PICTURE} could be made. {error}")
        made = [Path(place) / name for name in (SCENE, PICTURE)]
        return [_land(path, folder) for path in made if path.exists()]


def drawing_files(folder: Path) -> list[Path]:
    """The files that ``draw_comparison`` writes where it can."""
    return [folder / SCENE, folder / PICTURE]


def draw(drawing: Drawing, monitor: Monitor) -> None:
    """Build the scene, save it, draw the picture; for a process of its own.

    Raises
    ------
    DependencyError : Slicer's classes or OpenGL are not there.
    """
    try:
        from KDSegmentationLogic.scene import headless
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"The package {error.name} is not installed.",
            "Install it with: pip install slicer-core",
        ) from None
    tempfile.tempdir = str(drawing.folder)
    headless.start()
    from KDSegmentationLogic.scene import compared, comparison, files, volumes

    volume = volumes.volume_from_image(drawing.image, drawing.name)
    first, second = (compared.ModelLabels(m.title, m.labels, m.structures) for m in drawing.models)
    nodes = compared.add_comparison(
        volume, (first, second), drawing.disagreement, drawing.uncertainty, drawing.tables
    )
    _show_in_slices(volume.GetID())
    files.save_scene(drawing.folder / SCENE)
    monitor.report(0.3, "scene")
    student, ensemble = (
        comparison.Result(node, model.title, model.seconds, model.dice)
        for node, model in zip((nodes.first, nodes.second), drawing.models, strict=True)
    )
    comparison.side_by_side(volume, student, ensemble, drawing.folder / PICTURE)
    monitor.report(1.0, "picture")


def _land(made: Path, folder: Path) -> Path:
    with atomic_file(folder / made.name) as temporary:
        shutil.copyfile(made, temporary)
    return folder / made.name


def _shown(side: Side) -> Shown:
    return Shown(
        side.bundle.name,
        side.measured.result.labels,
        side.bundle.description.labels,
        side.measured.seconds,
        side.dice,
    )


def _show_in_slices(volume_id: str) -> None:
    """Let the three slice views show the volume as soon as the scene is opened.

    Slicer knows these nodes by their tags and takes over what the scene says of them.
    """
    import slicer

    for view in ("Red", "Green", "Yellow"):
        node = slicer.vtkMRMLSliceCompositeNode()
        node.SetSingletonTag(view)
        node.SetLayoutName(view)
        node.SetBackgroundVolumeID(volume_id)
        slicer.mrmlScene.AddNode(node)
