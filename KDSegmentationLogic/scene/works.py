"""What the tasks do: read volumes, ask for results, put them into the scene (see ``queue``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed
from typing import Any

import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.errors import RegionError, SceneError, UsageError
from KDSegmentationLogic.evaluation.agreement import agreement
from KDSegmentationLogic.imaging.channels import on_one_grid
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.inference.region import Block, Box, Point, Region, choose_block, inside
from KDSegmentationLogic.inference.region import keep_structure as structure_under
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.scene import edits, picking, segmentations
from KDSegmentationLogic.scene.compared import ModelLabels, add_comparison
from KDSegmentationLogic.scene.queue import Request, Work
from KDSegmentationLogic.scene.regions import BoxInWorld, region_in_volume
from KDSegmentationLogic.scene.tables import Value
from KDSegmentationLogic.scene.tasks import Held, Task
from KDSegmentationLogic.scene.volumes import grid_of, image_from_volume

InWorld = tuple[float, ...] | BoxInWorld | None


def segmenting(
    task: Task,
    held: Sequence[Held],
    bundle: Bundle,
    region: InWorld,
    settings: Settings,
    name: str | None,
    replaced: Held | bool,
) -> Work:
    """Segment volumes into one segmentation node."""
    volumes = [one.get() for one in held]
    wanted = region_in_volume(volumes[0], region)
    images = images_of(volumes, Monitor(notice=task.notices.append))
    result = yield Request(images, bundle.folder, wanted, settings)
    node = _put(task, held[0].get(), result.labels, bundle, name, replaced)
    edits.mark(node, "result", bundle.name)
    return (node.GetID(),)


def picking_at(
    task: Task,
    held: Sequence[Held],
    bundle: Bundle,
    point: InWorld,
    settings: Settings,
    segmentation: Held | None,
) -> Work:
    """Segment round a point and add the structure under it."""
    volumes = [one.get() for one in held]
    wanted = region_in_volume(volumes[0], point)
    images, block = _round_point(volumes, bundle, wanted, Monitor(notice=task.notices.append))
    result = yield Request(images, bundle.folder, wanted, settings)
    node, notices = picking.add_picked(
        segmentation and segmentation.get(), held[0].get(), result.labels, block, bundle
    )
    task.notices.extend(notices)
    return (node.GetID(),)


def comparing(
    task: Task,
    held: Sequence[Held],
    bundles: Sequence[Bundle],
    reference: Held | None,
    region: InWorld,
    settings: Settings,
) -> Work:
    """Two bundles, or one and a reference segmentation, into the nodes of a comparison."""
    volumes = [one.get() for one in held]
    wanted = region_in_volume(volumes[0], region)
    images = images_of(volumes, Monitor(notice=task.notices.append))
    settings = changed(settings, uncertainty=True)
    results = []
    for bundle in bundles:
        results.append((yield Request(images, bundle.folder, wanted, settings)))
    volume = held[0].get()
    title = held[0].name
    sides = [
        ModelLabels(f"{title} {bundle.name}", result.labels, bundle.description.labels)
        for bundle, result in zip(bundles, results, strict=True)
    ]
    if reference is not None:
        sides.append(_reference(reference.get(), volume, wanted, bundles[0]))
    names = [{label.value: label.name for label in side.structures} for side in sides]
    found = agreement(sides[0].labels, sides[1].labels, names[0], names[1])
    callings = [bundle.name for bundle in bundles] + ["reference"]
    nodes = add_comparison(
        volume,
        (sides[0], sides[1]),
        found.disagreement,
        results[-1].entropy,
        {
            f"{title} agreement": _rows(found.structures, callings),
            f"{title} runs": [_run(b, r) for b, r in zip(bundles, results, strict=True)],
        },
        uncertain=sides[len(results) - 1].title,
    )
    for node in (nodes.first, nodes.second, nodes.disagreement):
        edits.mark(node, "compared", bundles[0].name)
    return nodes.ids


def images_of(volumes: Sequence[slicer.vtkMRMLVolumeNode], monitor: Monitor) -> list[sitk.Image]:
    """The channels of one case on the grid of the first, in its local coordinates (LPS mm).

    Raises
    ------
    SceneError, ImageError : as ``volumes.image_from_volume`` and ``channels.on_one_grid``.
    """
    if not volumes:
        raise UsageError("No volume was given.", "Give one volume a channel of the model.")
    return on_one_grid(
        [image_from_volume(volume, within=volumes[0]) for volume in volumes],
        [volume.GetName() for volume in volumes],
        monitor,
    )


def _round_point(
    volumes: Sequence[slicer.vtkMRMLVolumeNode],
    bundle: Bundle,
    point: Region | None,
    monitor: Monitor,
) -> tuple[list[sitk.Image], Block]:
    """What the model needs to see, and which block of the volume that is.

    A model of crops sees the crop only: handing over just that makes a click on a whole head
    independent of its size. Any other needs the whole image's statistics.
    """
    grid = grid_of(volumes[0]) if volumes else None
    if grid is None or bundle.description.field_of_view.kind != "crop":
        images = images_of(volumes, monitor)
        return images, ((0, 0, 0), images[0].GetSize())
    block = choose_block(grid, bundle.description, point)
    if len(volumes) == 1:
        return [image_from_volume(volumes[0], block=block)], block
    first, size = block
    whole = images_of(volumes, monitor)
    return [sitk.RegionOfInterest(image, size, first) for image in whole], block


def _put(
    task: Task,
    volume: slicer.vtkMRMLVolumeNode,
    labels: sitk.Image,
    bundle: Bundle,
    name: str | None,
    replaced: Held | bool,
) -> slicer.vtkMRMLSegmentationNode:
    """The result in the segmentation that it may replace, or in a new one."""
    structures = bundle.description.labels
    usual = f"{volume.GetName()} {bundle.name}"
    old = replaced.get() if isinstance(replaced, Held) else None
    if replaced is True:
        old = edits.last_result(volume)
    if old is not None and not edits.is_untouched(old):
        why = "has been edited" if edits.is_ours(old) else "was not made by this module"
        task.notices.append(f"{old.GetName()} {why}: it was kept, and a new segmentation made.")
        old = None
    if old is None:
        return segmentations.segmentation_from_labels(labels, structures, volume, name or usual)
    segmentations.replace_labels(old, labels, structures, volume)
    if name or old.GetName() == f"{volume.GetName()} {old.GetAttribute(edits.MODEL)}":
        old.SetName(name or usual)
    return old


def _reference(
    node: slicer.vtkMRMLSegmentationNode | None,
    volume: slicer.vtkMRMLVolumeNode,
    region: Region | None,
    bundle: Bundle,
) -> ModelLabels:
    """A reference on the volume's grid, inside the region; the model's names where they match."""
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        raise SceneError("The reference is no segmentation.", "Choose a segmentation.")
    labels, names = segmentations.labels_from_segmentation(node, volume)
    known = {_plain(label.name): label for label in bundle.description.labels}
    segments = node.GetSegmentation()
    structures = []
    for place, (value, name) in enumerate(names.items()):
        color = [round(255 * channel) for channel in segments.GetNthSegment(place).GetColor()]
        same = known.pop(_plain(name), None)
        structures.append(Label(value, same.name if same else name, (color[0], color[1], color[2])))
    if not set(map(_plain, names.values())) & {_plain(s.name) for s in bundle.description.labels}:
        raise UsageError(
            f"The reference {node.GetName()} has {', '.join(names.values()) or 'no segments'}, the"
            f" model {bundle.name} finds {', '.join(s.name for s in bundle.description.labels)}.",
            "Give the segments of the reference the names of the model's structures.",
        )
    return ModelLabels(node.GetName(), _within(labels, region, bundle), tuple(structures))


def _within(labels: sitk.Image, region: Region | None, bundle: Bundle) -> sitk.Image:
    if isinstance(region, Box):
        array = sitk.GetArrayFromImage(labels)
        array[~inside(labels, region)] = 0
        kept = sitk.GetImageFromArray(array)
        kept.CopyInformation(labels)
        return kept
    if isinstance(region, Point):
        together = bundle.description.field_of_view.kind == "crop"
        try:
            return structure_under(labels, region, together)[0]
        except RegionError:
            raise RegionError(
                "The reference has no structure at the point.", "Place the point on a structure."
            ) from None
    return labels


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _rows(structures: Sequence[Any], callings: Sequence[str]) -> list[dict[str, Value]]:
    first, second = callings[0], callings[1]
    return [
        {
            "structure": one.name,
            "dice": one.dice,
            f"hd95 ({one.unit})": one.hd95,
            f"{first} ({one.volume_unit})": one.prediction_volume,
            f"{second} ({one.volume_unit})": one.reference_volume,
            f"difference ({one.volume_unit})": one.prediction_volume - one.reference_volume,
        }
        for one in structures
    ]


def _run(bundle: Bundle, result: Any) -> dict[str, Value]:
    memory = getattr(result, "peak_memory_gib", None)
    return {
        "model": bundle.name,
        "seconds": float(sum(result.seconds.values())),
        "peak memory (GiB)": float("nan") if memory is None else float(memory),
        "device": result.device,
        "engine": result.engine,
    }
