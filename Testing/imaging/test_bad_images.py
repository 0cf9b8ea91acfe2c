"""Files that must be refused, each with a sentence that names file and fault."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.checks import check_image
from KDSegmentationLogic.imaging.reading import read_image

Maker = Callable[[Path], str]
CASES: dict[str, tuple[Maker, str]] = {}


def case(sentence: str) -> Callable[[Maker], Maker]:
    """Register a maker: it writes a bad file into a folder and returns its name."""

    def register(maker: Maker) -> Maker:
        CASES[maker.__name__] = (maker, sentence)
        return maker

    return register


def block(kind: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 99, (6, 7, 8)).astype(kind)


def save(folder: Path, name: str, values: np.ndarray | None = None, packed: bool = False) -> str:
    image = sitk.GetImageFromArray(block() if values is None else values)
    sitk.WriteImage(image, str(folder / name), packed)
    return name


def cut(folder: Path, name: str, keep: float) -> str:
    raw = (folder / name).read_bytes()
    (folder / name).write_bytes(raw[: int(len(raw) * keep)])
    return name


def replace(folder: Path, name: str, old: bytes, new: bytes) -> str:
    raw = (folder / name).read_bytes()
    assert old in raw
    (folder / name).write_bytes(raw.replace(old, new))
    return name


def nifti(folder: Path, *changes: tuple[int, str, object], packed: bool = False) -> str:
    """A NIfTI file with header fields overwritten: (offset, struct code, value)."""
    save(folder, "a.nii")
    raw = bytearray((folder / "a.nii").read_bytes())
    for offset, code, value in changes:
        struct.pack_into("<" + code, raw, offset, value)
    if not packed:
        (folder / "a.nii").write_bytes(raw)
        return "a.nii"
    (folder / "a.nii.gz").write_bytes(gzip.compress(raw))
    return "a.nii.gz"


def sform(rows: list[list[float]]) -> list[tuple[int, str, object]]:
    flat = [value for row in rows for value in row]
    return [(280 + 4 * i, "f", value) for i, value in enumerate(flat)]


SHEARED = sform([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


@case("does not exist")
def missing_file(folder: Path) -> str:
    return str((folder / "nothing.nii.gz").name)


@case("holds no DICOM images")
def empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return "empty"


@case("holds no DICOM images")
def folder_of_other_files(folder: Path) -> str:
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("x" * 500)
    return "notes"


@case("is empty (0 bytes)")
def empty_file(folder: Path) -> str:
    (folder / "a.nii.gz").touch()
    return "a.nii.gz"


@case("has an ending that is not read")
def unknown_ending(folder: Path) -> str:
    (folder / "a.docx").write_bytes(b"PK" + bytes(500))
    return "a.docx"


@case("is not a NIfTI image")
def text_named_nii_gz(folder: Path) -> str:
    (folder / "a.nii.gz").write_text("hello" * 200)
    return "a.nii.gz"


@case("is not a NIfTI image")
def packed_text_named_nii_gz(folder: Path) -> str:
    (folder / "a.nii.gz").write_bytes(gzip.compress(b"hello" * 200))
    return "a.nii.gz"


@case("it is no .nrrd image, or damaged")
def text_named_nrrd(folder: Path) -> str:
    (folder / "a.nrrd").write_text("hello" * 200)
    return "a.nrrd"


@case("it is no .mha image, or damaged")
def text_named_mha(folder: Path) -> str:
    (folder / "a.mha").write_text("hello" * 200)
    return "a.mha"


@case("it is no .png image")
def text_named_png(folder: Path) -> str:
    (folder / "a.png").write_text("hello" * 200)
    return "a.png"


@case("bytes are there")
def nifti_cut_short(folder: Path) -> str:
    return cut(folder, nifti(folder), 0.9)


@case("or its header is cut short")
def nifti_header_cut_short(folder: Path) -> str:
    return cut(folder, nifti(folder), 0.1)


@case("its compressed data end wrongly")
def packed_nifti_cut_short(folder: Path) -> str:
    return cut(folder, nifti(folder, packed=True), 0.6)


@case("its compressed data end wrongly")
def packed_nifti_without_its_checksum(folder: Path) -> str:
    return cut(folder, nifti(folder, packed=True), 0.997)


@case("its compressed data end wrongly")
def packed_nifti_with_a_flipped_byte(folder: Path) -> str:
    name = nifti(folder, packed=True)
    raw = bytearray((folder / name).read_bytes())
    raw[-5] ^= 0xFF
    (folder / name).write_bytes(raw)
    return name


@case("bytes are there")
def packed_nifti_of_too_few_voxels(folder: Path) -> str:
    return nifti(folder, (42, "h", 9), packed=True)


@case("is a NIfTI-2 file")
def nifti_2(folder: Path) -> str:
    return nifti(folder, (0, "i", 540))


@case("damaged NIfTI header")
def nifti_of_no_dimensions(folder: Path) -> str:
    return nifti(folder, (40, "h", 0))


@case("has an empty axis")
def nifti_with_an_empty_axis(folder: Path) -> str:
    return nifti(folder, (42, "h", 0))


@case("spacing that is not a positive length")
def nifti_with_spacing_zero(folder: Path) -> str:
    return nifti(folder, (80, "f", 0.0))


@case("spacing that is not a positive length")
def nifti_with_spacing_nan(folder: Path) -> str:
    return nifti(folder, (88, "f", float("nan")))


@case("has a sheared or degenerate direction")
def nifti_sheared(folder: Path) -> str:
    return nifti(folder, (252, "h", 0), (254, "h", 1), *SHEARED)


@case("has a sheared or degenerate direction")
def nifti_sheared_beside_a_straight_qform(folder: Path) -> str:
    return nifti(folder, (252, "h", 1), (254, "h", 1), *SHEARED)


@case("has a sheared or degenerate direction")
def nifti_with_a_singular_sform(folder: Path) -> str:
    flat = sform([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    return nifti(folder, (252, "h", 1), (254, "h", 1), *flat)


@case("states two positions that contradict each other")
def nifti_whose_sform_and_spacing_differ(folder: Path) -> str:
    wide = sform([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]])
    return nifti(folder, (252, "h", 0), (254, "h", 1), *wide)


@case("has 4 dimensions")
def nifti_time_series(folder: Path) -> str:
    image = sitk.GetImageFromArray(block())
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(folder / "a.nii.gz"))
    return "a.nii.gz"


@case("has 4 dimensions")
def mha_time_series(folder: Path) -> str:
    image = sitk.GetImageFromArray(block())
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(folder / "a.mha"))
    return "a.mha"


@case("holds complex numbers")
def complex_pixels(folder: Path) -> str:
    return save(folder, "a.nii", block(np.complex64))


@case("1 values that are not a number or infinite")
def nan_values(folder: Path) -> str:
    values = block(np.float32)
    values[1, 2, 3] = np.nan
    return save(folder, "a.nii.gz", values)


@case("1 values that are not a number or infinite")
def nan_values_in_an_unpacked_nifti(folder: Path) -> str:
    values = block(np.float64)
    values[5, 6, 7] = np.nan
    return save(folder, "a.nii", values)


@case("2 values that are not a number or infinite")
def infinite_values(folder: Path) -> str:
    values = block(np.float64)
    values[1, 2, 3:5] = -np.inf
    return save(folder, "a.nrrd", values)


@case("has 3 values per pixel")
def vector_pixels(folder: Path) -> str:
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.float32), isVector=True)
    sitk.WriteImage(image, str(folder / "a.mha"))
    return "a.mha"


@case("is a colour picture")
def colour_picture(folder: Path) -> str:
    values = np.zeros((4, 5, 3), np.uint8)
    values[1, 2, 1] = 9
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), str(folder / "a.png"))
    return "a.png"


@case("holds several pages")
def tiff_of_several_pages(folder: Path) -> str:
    return save(folder, "a.tif", block(np.uint8))


@case("damaged or cut short")
def png_cut_short(folder: Path) -> str:
    return cut(folder, save(folder, "a.png", block(np.uint8)[0]), 0.6)


@case("is cut short")
def jpeg_cut_short(folder: Path) -> str:
    return cut(folder, save(folder, "a.jpg", block(np.uint8)[0]), 0.8)


@case("is cut short")
def bmp_cut_short(folder: Path) -> str:
    return cut(folder, save(folder, "a.bmp", block(np.uint8)[0]), 0.9)


@case("damaged or cut short")
def nrrd_cut_short(folder: Path) -> str:
    return cut(folder, save(folder, "a.nrrd"), 0.9)


@case("damaged or cut short")
def packed_nrrd_cut_short(folder: Path) -> str:
    return cut(folder, save(folder, "a.nrrd", packed=True), 0.9)


@case("damaged or cut short")
def mha_cut_short(folder: Path) -> str:
    return cut(folder, save(folder, "a.mha"), 0.9)


@case("damaged or cut short")
def packed_mha_cut_short(folder: Path) -> str:
    return cut(folder, save(folder, "a.mha", packed=True), 0.8)


@case("its data file is missing or too short")
def mhd_without_its_data(folder: Path) -> str:
    save(folder, "a.mhd")
    (folder / "a.raw").unlink()
    return "a.mhd"


@case("its data file is missing or too short")
def nhdr_with_short_data(folder: Path) -> str:
    save(folder, "a.nhdr")
    cut(folder, "a.raw", 0.5)
    return "a.nhdr"


@case("has a sheared or degenerate direction")
def nrrd_sheared(folder: Path) -> str:
    return replace(folder, save(folder, "a.nrrd"), b"(0,1,0)", b"(0.3,1,0)")


@case("has a sheared or degenerate direction")
def mha_sheared(folder: Path) -> str:
    return replace(folder, save(folder, "a.mha"), b"= 1 0 0 0 1 0", b"= 1 0 0 .3 1 0")


@case("spacing that is not a positive length")
def nrrd_with_an_axis_of_no_length(folder: Path) -> str:
    return replace(folder, save(folder, "a.nrrd"), b"(0,1,0)", b"(0,0,0)")


@case("spacing that is not a positive length")
def mha_with_spacing_zero(folder: Path) -> str:
    return replace(folder, save(folder, "a.mha"), b"ElementSpacing = 1 1", b"ElementSpacing = 1 0")


@case("has an empty axis")
def mha_with_an_empty_axis(folder: Path) -> str:
    return replace(folder, save(folder, "a.mha"), b"DimSize = 8 7", b"DimSize = 8 0")


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_refused_by_name_and_fault(tmp_path: Path, name: str) -> None:
    maker, sentence = CASES[name]
    path = tmp_path / maker(tmp_path)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert sentence in caught.value.cause
    assert str(path) in caught.value.cause
    assert caught.value.cause.endswith(".")
    assert caught.value.remedy.endswith(".")
    assert "\n" not in str(caught.value)


def test_a_series_cannot_be_chosen_in_a_file(tmp_path: Path) -> None:
    save(tmp_path, "a.nii.gz")
    with pytest.raises(ImageError, match="A series can be chosen in a folder only"):
        read_image(tmp_path / "a.nii.gz", series="1.2.3")


def test_a_volume_without_voxels_is_refused() -> None:
    with pytest.raises(ImageError, match="The volume has an empty axis: its size is 0 x 0 x 0"):
        check_image(sitk.Image(0, 0, 0, sitk.sitkInt16), "The volume")


def test_rounding_of_a_direction_is_no_shear() -> None:
    image = sitk.Image(4, 4, 4, sitk.sitkInt16)
    image.SetDirection((1, 2e-5, 0, 0, 1, 0, 0, 0, 1))
    check_image(image, "The volume")


@pytest.mark.parametrize("ending", [".Nii", ".nii.GZ", ".Nii.Gz"])
def test_a_nifti_ending_of_small_and_capital_letters_is_refused_by_what_to_call_it(
    tmp_path: Path, volume: sitk.Image, ending: str
) -> None:
    plain = tmp_path / f"head{ending.lower()}"
    sitk.WriteImage(volume, str(plain))
    path = plain.rename(tmp_path / f"Head{ending}")
    with pytest.raises(ImageError, match=rf"mixes .* Rename the file to Head{ending.lower()}\."):
        read_image(path)


def test_a_nifti_ending_in_capital_letters_is_read(tmp_path: Path, volume: sitk.Image) -> None:
    sitk.WriteImage(volume, str(tmp_path / "head.nii.gz"))
    path = (tmp_path / "head.nii.gz").rename(tmp_path / "HEAD.NII.GZ")
    assert read_image(path).GetSize() == volume.GetSize()
