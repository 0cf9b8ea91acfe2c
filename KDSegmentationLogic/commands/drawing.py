"""A comparison as a scene for Slicer and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.commands.child import in_child
from KDSegmentationLogic.commands.comparison import Comparison, Side, first_image
from KDSegmentationLogic.commands.tables import Row, agreement_rows, model_rows
from KDSegmentationLogic.errors import DependencyError, KDSegError
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
    """All that a scene is built of, to be sent to another process."""

    name: str
    image: sitk.Image
    models: tuple[Shown, Shown]
    uncertainty: sitk.Image | None
    tables: Mapping[str, Sequence[Row]]
    scene: Path
    picture: Path


def draw_comparison(comparison: Comparison, folder: Path, monitor: Monitor) -> list[Path]:
    """Write ``scene.mrb`` and ``comparison.png``, as far as that is possible here.

    What is not possible (no Slicer, no OpenGL, a 2-D image) is a notice, not an error.
    Returns the files that were written.
    """
    image = first_image(comparison.case)
    if image.GetDimension() != 3:
        monitor.notice(f"No {SCENE} and {PICTURE}: Slicer's views are for volumes.")
        return []
    drawing = Drawing(
        comparison.case.name,
        image,
        (_shown(comparison.first), _shown(comparison.second)),
        comparison.second.measured.result.entropy,
        {"Agreement": agreement_rows([comparison]), "Models": model_rows([comparison])},
        folder / SCENE,
        folder / PICTURE,
    )
    try:
        in_child(draw, drawing, monitor)
    except KDSegError as error:
        monitor.notice(f"Not all of {SCENE} and {PICTURE} could be made. {error}")
    return [path for path in drawing_files(folder) if path.exists()]


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
    headless.start()
    from KDSegmentationLogic.scene import comparison, files, segmentations, tables, volumes

    volume = volumes.volume_from_image(drawing.image, drawing.name)
    results = []
    for shown in drawing.models:
        node = segmentations.segmentation_from_labels(
            shown.labels, shown.structures, volume, shown.title
        )
        results.append(comparison.Result(node, shown.title, shown.seconds, shown.dice))
    if drawing.uncertainty is not None:
        title = f"Uncertainty of {drawing.models[1].title}"
        volumes.display_as_map(
            volumes.volume_from_image(drawing.uncertainty, title, beside=volume), 0.0, 1.0
        )
    for title, rows in drawing.tables.items():
        tables.table_from_rows(rows, title)
    _show_in_slices(volume.GetID())
    files.save_scene(drawing.scene)
    monitor.report(0.3, "scene")
    comparison.side_by_side(volume, results[0], results[1], drawing.picture)
    monitor.report(1.0, "picture")


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
