"""Volumes, surfaces and files of a segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.imaging.reading import read_labels
from KDSegmentationLogic.scene import results
from KDSegmentationLogic.scene.files import load_segmentation
from KDSegmentationLogic.scene.segmentations import segmentation_from_labels
from KDSegmentationLogic.scene.tables import save_table, table_from_rows
from KDSegmentationLogic.scene.volumes import image_from_volume, volume_from_image
from Testing.making import LABELS, phantom
from Testing.scene import cases

OBLIQUE = cases.image(spacing=(1.0, 1.0, 1.0)).GetDirection()


@pytest.fixture
def labels() -> sitk.Image:
    return phantom(spacing=(1.0, 1.5, 2.0), origin=(5.0, -40.0, 12.0), direction=OBLIQUE)[1]


@pytest.fixture
def node(labels) -> slicer.vtkMRMLSegmentationNode:
    volume = volume_from_image(labels, "head")
    cases.put_under(volume, np.diag([-1.0, 2.0, 1.0, 1.0]))
    return segmentation_from_labels(labels, LABELS, volume, "student")


def test_volumes_are_those_in_the_world(node, labels):
    voxels = np.bincount(sitk.GetArrayViewFromImage(labels).ravel())

    found = results.structures(node)

    assert [one.name for one in found] == ["anterior", "posterior"]
    assert [one.color for one in found] == [(220, 40, 40), (40, 40, 220)]
    for one, count in zip(found, voxels[1:], strict=True):
        assert one.volume_ml == pytest.approx(count * 3.0 * 2 / 1000)


def test_an_empty_segment_has_no_volume(node):
    node.GetSegmentation().AddEmptySegment("none")

    assert results.structures(node)[-1].volume_ml == 0


def test_structures_are_hidden_and_coloured(node):
    results.set_visible(node, "label_1", False)
    results.set_color(node, "label_2", (1, 2, 3))

    first, second = results.structures(node)
    assert (first.visible, second.visible) == (False, True)
    assert second.color == (1, 2, 3)


def test_surfaces_come_on_demand_and_go(node):
    name = "Closed surface"

    results.show_surfaces(node, True, smoothing=0.3)
    mesh = node.GetSegmentation().GetSegment("label_1").GetRepresentation(name)
    results.show_surfaces(node, False)

    assert mesh.GetNumberOfPoints() > 0
    assert float(node.GetSegmentation().GetConversionParameter("Smoothing factor")) == 0.3
    assert not node.GetSegmentation().ContainsRepresentation(name)


def test_more_smoothing_gives_a_smoother_surface(node):
    areas = []
    for smoothing in (0.0, 0.8):
        results.show_surfaces(node, True, smoothing)
        surface = node.GetSegmentation().GetSegment("label_1").GetRepresentation("Closed surface")
        measure = vtk.vtkMassProperties()
        triangles = vtk.vtkTriangleFilter()
        triangles.SetInputData(surface)
        measure.SetInputConnection(triangles.GetOutputPort())
        areas.append(measure.GetSurfaceArea())

    assert areas[1] < areas[0]


def test_a_label_map_fits_the_volumes_own_file(node, labels, tmp_path):
    results.save(node, tmp_path / "x.nii.gz")

    saved = read_labels(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(saved), sitk.GetArrayViewFromImage(labels)
    )
    assert saved.GetOrigin() == pytest.approx(labels.GetOrigin(), abs=1e-4)
    assert saved.GetDirection() == pytest.approx(labels.GetDirection(), abs=1e-5)


def test_slicers_own_format_keeps_names_and_codes(node, tmp_path):
    results.save(node, tmp_path / "x.seg.nrrd")

    loaded = load_segmentation(tmp_path / "x.seg.nrrd")
    segment = loaded.GetSegmentation().GetSegment("label_1")
    assert segment.GetName() == "anterior"
    assert "5366008^Hippocampus" in segment.GetTerminology()


def test_stl_has_a_file_for_each_structure_in_lps(node, labels, tmp_path):
    paths = results.save(node, tmp_path / "x.stl")

    assert [path.name for path in paths] == ["x-anterior.stl", "x-posterior.stl"]
    reader = vtk.vtkSTLReader()
    reader.SetFileName(str(paths[1]))
    reader.Update()
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(labels)
    centre = np.mean(np.reshape(reader.GetOutput().GetBounds(), (3, 2)), axis=1)
    assert np.abs(centre - statistics.GetCentroid(2)).max() < 4  # the half ball is not its box
    assert b"SPACE=LPS" in paths[1].read_bytes()[:80]
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_an_unknown_ending_is_refused_with_those_that_are_known(node, tmp_path):
    with pytest.raises(SceneError, match=r"\.obj.*\.seg\.nrrd"):
        results.save(node, tmp_path / "x.obj")


def test_a_label_map_of_a_volume_that_is_gone_is_refused(node, tmp_path):
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("head"))

    with pytest.raises(SceneError, match="is gone"):
        results.save(node, tmp_path / "x.nii.gz")


def test_dicom_seg_without_a_source_series_is_refused_in_one_sentence(node, tmp_path):
    with pytest.raises(SceneError, match="no DICOM series to refer to"):
        results.save(node, tmp_path / "x.dcm")


def loaded_series(files: list[Path], pydicom) -> slicer.vtkMRMLScalarVolumeNode:
    """As Slicer's DICOM module does it: sorted by position, all names with the storage node."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    files.sort(key=lambda p: pydicom.dcmread(p, stop_before_pixels=True).ImagePositionPatient[2])
    storage.SetFileName(str(files[0]))
    for file in files:
        storage.AddFileName(str(file))
    storage.SetSingleFile(0)
    volume.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.ReadData(volume)
    return volume


def test_the_source_series_is_found_by_the_uids_that_slicer_keeps(labels, data_folder, monkeypatch):
    folder = data_folder / "TotalSegmentatorCT" / "example_ct_dicom"
    files = dict(zip(("1.2", "1.3"), sorted(folder.iterdir()), strict=False))
    monkeypatch.setattr(slicer, "dicomDatabase", Database(files), raising=False)
    volume = volume_from_image(labels, "ct")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2 1.3")

    assert results.dicom_files(volume) == list(files.values())


class Database:
    """Of the application's DICOM database what is asked."""

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def fileForInstance(self, uid: str) -> str:  # noqa: N802
        return str(self._files[uid])


def test_dicom_seg_of_a_volume_loaded_from_its_series(data_folder: Path, tmp_path: Path):
    pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    folder = tmp_path / "series"
    folder.mkdir()
    study, series = (pydicom.uid.generate_uid() for _ in range(2))
    for file in (data_folder / "TotalSegmentatorCT" / "example_ct_dicom").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.save_as(folder / f"{file.name}.dcm")
    volume = loaded_series(list(folder.iterdir()), pydicom)
    array = (slicer.util.arrayFromVolume(volume) > 200).astype(np.uint8)
    node = slicer.util.addVolumeFromArray(array)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    bone = segmentation_from_labels(image_from_volume(node), LABELS[:1], volume, "bone")

    results.save(bone, tmp_path / "bone.dcm")

    seg = pydicom.dcmread(tmp_path / "bone.dcm")
    kind = seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeMeaning == "Hippocampus"
    positions = {
        dataset.SOPInstanceUID: dataset.ImagePositionPatient
        for dataset in (pydicom.dcmread(p, stop_before_pixels=True) for p in folder.iterdir())
    }
    pixels = seg.pixel_array.reshape(-1, 512, 512)
    for plane, frame in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        named = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert list(place) == list(positions[named])
        ras = np.array([-place[0], -place[1], place[2], 1.0])
        corner = np.linalg.solve(slicer.util.arrayFromVTKMatrix(matrix), ras)[:3]
        assert corner == pytest.approx(np.rint(corner), abs=1e-3)
        np.testing.assert_array_equal(plane, array[round(corner[2])])
    assert pixels.sum() == array.sum()


def test_a_table_becomes_csv(tmp_path):
    rows = [{"structure": "anterior, left", "dice": 0.5}, {"structure": "é", "dice": float("nan")}]

    save_table(table_from_rows(rows, "agreement"), tmp_path / "x.csv")

    text = (tmp_path / "x.csv").read_text(encoding="utf-8")
    assert text == 'structure,dice\n"anterior, left",0.5\né,\n'
