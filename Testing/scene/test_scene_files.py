"""What is written is read back voxel for voxel by another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.terminology import terminology_tag
from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.scene import files, segmentations, tables, volumes
from Testing.scene import cases

READER = """
import json, sys
from pathlib import Path
from KDSegmentationLogic.scene import files, headless, segmentations, tables, volumes
import SimpleITK, slicer
headless.start()
kind, source, target = sys.argv[1:]
read = files.load_scene if kind == "mrb" else files.load_segmentation
read(Path(source))
node = slicer.util.getNode("student")
if kind == "mrb":
    volume = slicer.util.getNode("t1")
else:
    image = SimpleITK.ReadImage(target + ".reference.nrrd")
    volume = volumes.volume_from_image(image, "t1")
labels, names = segmentations.labels_from_segmentation(node, volume)
SimpleITK.WriteImage(labels, target)
found = {"names": names, "layers": node.GetSegmentation().GetNumberOfLayers(), "segments": {}}
for identifier in node.GetSegmentation().GetSegmentIDs():
    segment = node.GetSegmentation().GetSegment(identifier)
    found["segments"][identifier] = [segment.GetColor(), segment.GetTerminology()]
if kind == "mrb":
    found["parent"] = volumes.parent_to_world(node).tolist()
    found["rows"] = tables.rows_from_table(slicer.util.getNode("results"))
print(json.dumps(found))
"""


def read_elsewhere(
    kind: str, source: Path, image: sitk.Image, project_root: Path
) -> tuple[sitk.Image, dict]:
    target = source.parent / "back.nrrd"
    sitk.WriteImage(image, f"{target}.reference.nrrd")
    output = subprocess.run(
        [sys.executable, "-c", READER, kind, str(source), str(target)],
        check=True,
        capture_output=True,
        text=True,
        cwd=project_root,
    ).stdout
    return sitk.ReadImage(target), json.loads(output.splitlines()[-1])


@pytest.fixture
def student() -> tuple[slicer.vtkMRMLSegmentationNode, sitk.Image, sitk.Image]:
    image = cases.image()
    volume = volumes.volume_from_image(image, "t1")
    cases.put_under(volume, np.diag([-1.0, 1.0, 2.0, 1.0]))
    labels = cases.label_map(image, (3,))
    node = segmentations.segmentation_from_labels(labels, cases.LABELS, volume, "student")
    return node, image, labels


def assert_unchanged(back: sitk.Image, labels: sitk.Image, found: dict) -> None:
    assert (sitk.GetArrayViewFromImage(back) == sitk.GetArrayViewFromImage(labels)).all()
    assert back.GetOrigin() == pytest.approx(labels.GetOrigin(), abs=1e-6)
    assert back.GetDirection() == pytest.approx(labels.GetDirection(), abs=1e-6)
    assert found["names"] == {"1": "Anterior", "3": "Posterior"}
    assert found["layers"] == 1
    for label in cases.LABELS:
        color, codes = found["segments"][f"label_{label.value}"]
        assert color == pytest.approx([channel / 255 for channel in label.color], abs=1e-5)
        assert codes == terminology_tag(label.terminology)


def test_a_segmentation_file_says_everything_to_another_process(
    student, tmp_path: Path, project_root: Path
) -> None:
    node, image, labels = student
    files.save_segmentation(node, tmp_path / "student.seg.nrrd")

    back, found = read_elsewhere("seg", tmp_path / "student.seg.nrrd", image, project_root)

    assert_unchanged(back, labels, found)


def test_a_scene_file_says_everything_to_another_process(
    student, tmp_path: Path, project_root: Path
) -> None:
    _, image, labels = student
    tables.table_from_rows([{"structure": "Anterior", "voxels": 3, "dice": 0.5}], "results")
    files.save_scene(tmp_path / "case.mrb")

    back, found = read_elsewhere("mrb", tmp_path / "case.mrb", image, project_root)

    assert_unchanged(back, labels, found)
    assert np.array_equal(found["parent"], np.diag([-1.0, 1.0, 2.0, 1.0]))
    assert found["rows"] == [{"structure": "Anterior", "voxels": 3, "dice": 0.5}]


def test_saving_leaves_the_nodes_own_file_alone(student, tmp_path: Path) -> None:
    node, _, _ = student

    files.save_segmentation(node, tmp_path / "student.seg.nrrd")

    assert node.GetStorageNode() is None
    assert [path.name for path in tmp_path.iterdir()] == ["student.seg.nrrd"]


def test_another_ending_is_refused(student, tmp_path: Path) -> None:
    node, _, _ = student

    with pytest.raises(SceneError, match=r"does not end in \.seg\.nrrd"):
        files.save_segmentation(node, tmp_path / "student.stl")
    with pytest.raises(SceneError, match=r"does not end in \.mrb"):
        files.save_scene(tmp_path / "case.mrml")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SceneError, match="There is no file nowhere"):
        files.load_scene(Path("nowhere.mrb"))
    with pytest.raises(SceneError, match="There is no file elsewhere"):
        files.load_segmentation(Path("elsewhere.seg.nrrd"))


def test_a_damaged_scene_file_leaves_the_open_scene_as_it_is(student, tmp_path: Path) -> None:
    node, _, _ = student
    (tmp_path / "half.mrb").write_bytes(b"PK but no more")

    with pytest.raises(SceneError, match=r"half\.mrb is not a scene"):
        files.load_scene(tmp_path / "half.mrb")

    assert slicer.mrmlScene.GetNodeByID(node.GetID()) is node


def test_a_file_that_is_no_segmentation_leaves_no_node(tmp_path: Path) -> None:
    (tmp_path / "letter.seg.nrrd").write_text("Dear colleague")

    with pytest.raises(SceneError, match=r"letter\.seg\.nrrd is not a segmentation"):
        files.load_segmentation(tmp_path / "letter.seg.nrrd")

    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
