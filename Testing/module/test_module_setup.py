"""What Slicer sees of the module, the sample image, and installing what is missing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from KDSegmentationLogic.scene.view import setup
from Testing.module.acting import BOX, click_at, finish, names, pixel, view


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes packages seem to be missing."""

    def hide(*modules: str) -> None:
        known = setup.missing
        monkeypatch.setattr(setup, "missing", lambda *n: [*known(*n), *modules])

    return hide


def test_the_module_describes_itself(host: Any) -> None:
    parent = host.load()
    assert parent.title == "KD Segmentation"
    assert parent.categories == ("Segmentation",)
    assert "Segmentations" in parent.dependencies
    assert "not for clinical use" in parent.helpText
    assert "Noothout" in parent.acknowledgementText
    assert "Resources/SampleData/NOTICE.txt" in parent.acknowledgementText


def test_no_class_hides_the_package(host: Any) -> None:
    import sys

    host.load()
    assert not isinstance(getattr(sys.modules["KDSegmentation"], "KDSegmentationLogic", None), type)


def test_scripts_find_the_logic(host: Any, in_process: None) -> None:
    import slicer

    from KDSegmentationLogic.scene.logic import SceneLogic

    host.load()
    assert isinstance(slicer.util.getModuleLogic("KDSegmentation"), SceneLogic)
    del in_process


def test_the_sample_image_is_registered_with_its_checksum(host: Any) -> None:
    host.load()
    (sample,) = host.requests.samples
    path = Path(sample["uris"].removeprefix("file://"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sample["checksums"] == f"SHA256:{digest}"
    assert "Copyright" in (path.parent / "NOTICE.txt").read_text(encoding="utf-8")


def test_from_start_to_segments_in_three_clicks(
    host: Any, in_process: None, tmp_path: Path
) -> None:
    """Sample image, licence, hippocampus: with the bundled student, on real data."""
    widget = host.open()
    from KDSegmentationPanels.sample import HIPPOCAMPUS

    widget.board.change(threads=1)
    host.click(widget.inputsPanel.sampleButton)
    host.click(widget.inputsPanel.licence, at=BOX)
    click_at(host, HIPPOCAMPUS)
    finish(host, widget, 120)
    assert names(widget) == ["Right anterior hippocampus", "Right posterior hippocampus"]
    total = sum(structure.volume_ml for structure in widget.resultPanel.structures)
    assert 2.0 < total < 5.0
    red = view()
    red.forceRender()
    picture = host.grab(tmp_path / "red.png", red)
    inside = picture.pixelColor(*pixel(red, HIPPOCAMPUS))
    beside = picture.pixelColor(*pixel(red, (-26.0, -21.0, -17.0)))
    assert max(abs(inside.red() - inside.blue()), abs(inside.red() - inside.green())) > 30
    assert abs(beside.red() - beside.blue()) < 10
    del in_process


def test_the_modules_own_test_passes(host: Any, in_process: None) -> None:
    import slicer

    host.load()
    slicer.selfTests["KDSegmentation"]()
    del in_process


def test_set_up_is_folded_where_nothing_is_missing(host: Any, in_process: None) -> None:
    widget = host.open()
    assert widget.setupPanel.section.collapsed
    assert not widget.setupPanel.torch.visible
    del in_process


def test_what_is_missing_is_said_and_nothing_can_be_run(
    host: Any, in_process: None, without: Any
) -> None:
    without("torch", "psutil")
    widget = host.open()
    assert not widget.setupPanel.section.collapsed
    assert "torch: runs the networks" in widget.setupPanel.check.text
    assert "torch and psutil" in widget.runPanel.button.toolTip
    del in_process


def test_packages_are_installed_only_after_a_question(
    host: Any, in_process: None, without: Any
) -> None:
    without("torch", "psutil")
    widget = host.open()
    host.requests.accept_installations = True
    host.answers.prepare("Cancel")
    host.click(widget.setupPanel.rest)
    assert not host.requests.installed
    host.answers.prepare("OK")
    host.click(widget.setupPanel.rest)
    assert "psutil>=5.9" in host.requests.installed[0]
    assert not any("torch" in name for name in host.requests.installed[0])
    assert "Installed" in widget.runPanel.message.text
    del in_process


def test_torch_comes_through_slicers_own_extension(
    host: Any, in_process: None, without: Any
) -> None:
    without("torch")
    widget = host.open()
    host.requests.accept_installations = True
    host.click(widget.setupPanel.torch)
    (asked,) = host.requests.torch
    assert asked["askConfirmation"]
    assert asked["torchVersionRequirement"] == setup.TORCH_REQUIREMENT
    del in_process


def test_a_no_to_the_extensions_question_installs_nothing_and_does_not_say_so(
    host: Any, in_process: None, without: Any
) -> None:
    without("torch")
    widget = host.open()
    host.requests.decline_torch = True
    host.click(widget.setupPanel.torch)
    assert host.requests.torch
    assert not widget.runPanel.message.text
    del in_process


def test_without_a_network_the_message_says_what_to_do(
    host: Any, in_process: None, without: Any
) -> None:
    without("psutil")
    widget = host.open()
    host.answers.prepare("OK")
    host.click(widget.setupPanel.rest)
    assert "could not be installed" in widget.runPanel.message.text
    assert "without one" in widget.runPanel.message.text
    host.click(widget.setupPanel.offline)
    assert "pip download" in host.answers.boxes[-1].details
    del in_process


@pytest.fixture
def old_host(tmp_path: Path) -> Any:
    """Slicer 5.10 without the PyTorch extension."""
    pytest.importorskip("PySide6.QtWidgets", reason="needs PySide6")
    from Testing.SlicerHost.host import Host

    host = Host(tmp_path, packaging=False, pytorch=False)
    host.start()
    yield host
    host.stop()


def test_an_older_slicer_installs_in_its_own_way(
    old_host: Any, in_process: None, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "pip_install", asked.append, raising=False)
    without("psutil", "torch")
    widget = old_host.open()
    old_host.answers.prepare("OK")
    old_host.click(widget.setupPanel.rest)
    assert asked == ["psutil>=5.9"]
    old_host.click(widget.setupPanel.torch)
    assert "Extensions Manager" in widget.runPanel.message.text
    del in_process


def test_the_index_of_extensions_gets_what_cmake_says(project_root: Path) -> None:
    entry = json.loads((project_root / "KDSegmentation.json").read_text(encoding="utf-8"))
    cmake = (project_root / "CMakeLists.txt").read_text(encoding="utf-8")
    assert f'EXTENSION_CATEGORY "{entry["category"]}"' in cmake
    assert f'EXTENSION_DEPENDS "{" ".join(entry["build_dependencies"])}"' in cmake
    assert entry["scm_url"].removesuffix(".git") in cmake
    for name in ("click.png", "compare.png"):
        assert f"Resources/Screenshots/{name}" in cmake
        assert (project_root / "Resources" / "Screenshots" / name).is_file()
