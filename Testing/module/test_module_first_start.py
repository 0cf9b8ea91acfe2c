"""The module in a Slicer in which nothing was installed yet: it opens, and says what is missing.

Packages are hidden from Python itself, in a process of its own, so that an import at the wrong
place fails here as it would there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HIDE = """
import importlib.machinery, json, sys
from pathlib import Path
hidden, folder = set(sys.argv[1].split()), Path(sys.argv[2])
find = importlib.machinery.PathFinder.find_spec

def seen(name, path=None, target=None):
    return None if name.split(".")[0] in hidden else find(name, path, target)

importlib.machinery.PathFinder.find_spec = staticmethod(seen)
from Testing.SlicerHost.host import Host
host = Host(folder)
host.start()
widget = host.open()
said = {"check": widget.setupPanel.check.text, "open": not widget.setupPanel.section.collapsed}
"""
WITH_IMAGES = """
host.click(widget.inputsPanel.sampleButton)
host.events()
said["button"] = widget.runPanel.button.toolTip
said["enabled"] = widget.runPanel.button.enabled
said["volumes"] = [node.GetName() for node in widget.board.volumes()]
"""
WITHOUT_IMAGES = """
host.requests.accept_installations = True
host.answers.prepare("OK")
host.click(widget.setupPanel.rest)
said["installed"] = host.requests.installed
said["panels"] = hasattr(widget, "runPanel")
hidden.clear()
host.click(widget.setupPanel.again)
host.events()
said["later"] = widget.runPanel.button.toolTip
"""
END = """
said["errors"] = [str(error) for error in host.errors]
host.stop()
print(json.dumps(said))
"""


def first_start(hidden: str, deeds: str, folder: Path) -> dict[str, Any]:
    """What the panels said in a process that cannot find the hidden packages."""
    pytest.importorskip("PySide6.QtWidgets", reason="needs PySide6")
    pytest.importorskip("slicer", reason="needs slicer-core")
    command = [sys.executable, "-c", HIDE + deeds + END, hidden, str(folder)]
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return dict(json.loads(run.stdout.splitlines()[-1]))


def test_a_fresh_slicer_opens_all_panels_and_says_what_is_missing(tmp_path: Path) -> None:
    hidden = "torch safetensors psutil scipy highdicom pydicom openvino onnxruntime matplotlib"
    said = first_start(hidden, WITH_IMAGES, tmp_path)
    assert said["open"]
    for package in ("torch", "safetensors", "psutil", "scipy"):
        assert f"{package}: " in said["check"]
        assert package in said["button"]
    assert not said["enabled"]
    assert said["volumes"] == ["ICBM152_T1"]
    assert not said["errors"]


def test_without_what_the_panels_are_made_of_set_up_works_and_the_rest_follows(
    tmp_path: Path,
) -> None:
    hidden = "torch safetensors psutil scipy SimpleITK highdicom pydicom openvino onnxruntime"
    said = first_start(hidden, WITHOUT_IMAGES, tmp_path)
    assert said["open"]
    assert "SimpleITK: resamples the images" in said["check"]
    assert any("SimpleITK" in name for name in said["installed"][0])
    assert not said["panels"]
    assert "needs a volume" in said["later"]
    assert not said["errors"]
