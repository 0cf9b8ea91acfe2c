"""Draw the pictures of the README: the whole window, made on the host from real data.

    python -m Testing.module.make_screenshots

The volume is the ICBM 152 template, the models are the bundled student and its ensemble, and
what is pressed is pressed with the mouse. Slicer itself looks a little different: its own
widgets have more icons, and there are tool bars.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from KDSegmentationLogic.scene.layouts import VIEWS
from Testing.module.acting import BOX, click_at, finish, view
from Testing.SlicerHost.host import Host

FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"
RIGHT, LEFT = (26.0, -21.0, -17.0), (-26.0, -21.0, -17.0)


def main() -> None:
    host = Host(Path(tempfile.mkdtemp()))
    host.start()
    host.window.resize(1500, 940)
    widget = host.open()
    widget.board.change(threads=1)
    host.click(widget.inputsPanel.sampleButton)
    host.click(widget.inputsPanel.licence, at=BOX)
    for place in (RIGHT, LEFT):
        click_at(host, place)
        finish(host, widget, 300)
    # Once more, warm: the time that is shown is not that of loading the model.
    click_at(host, LEFT)
    finish(host, widget, 300)
    host.click(widget.resultPanel.surfaces, at=BOX)
    widget.comparePanel.section.collapsed = True
    frame()
    shoot(host, "click.png")

    widget.comparePanel.section.collapsed = False
    for name in ("regionPanel", "resultPanel"):
        getattr(widget, name).section.collapsed = True
    host.window.resize(1500, 800)
    host.click(widget.comparePanel.button)
    finish(host, widget, 600)
    shoot(host, "compare.png")
    host.stop()


def frame() -> None:
    """Slices zoomed to the middle of the head, surfaces seen from the front and above."""
    import slicer

    for name, centre, wide in (
        ("Red", (0.0, -21.0, -17.0), 130.0),
        ("Green", (0.0, -21.0, -17.0), 130.0),
        ("Yellow", RIGHT, 130.0),
    ):
        node = view(name).mrmlSliceNode()
        width, height, _depth = node.GetDimensions()
        node.SetFieldOfView(wide, wide * height / width, 1.0)
        node.JumpSliceByCentering(*centre)
    space = slicer.app.layoutManager().threeDWidget(0).threeDView()
    space.mrmlViewNode().SetBoxVisible(False)
    space.mrmlViewNode().SetAxisLabelsVisible(False)
    camera = space.renderer().GetActiveCamera()
    camera.SetFocalPoint(0.0, -25.0, -12.0)
    camera.SetPosition(120.0, 120.0, 90.0)
    camera.SetViewUp(0.0, 0.0, 1.0)
    camera.SetViewAngle(18.0)
    space.renderer().ResetCameraClippingRange()


def shoot(host: Any, name: str) -> None:
    import slicer

    for _ in range(3):
        host.events()
    for tag in VIEWS:  # Slicer's bars show the label, the host's the name
        widget = slicer.app.layoutManager().sliceWidget(tag)
        if widget is not None:
            widget.sliceController().text = f" {widget.mrmlSliceNode().GetLayoutLabel()}"
    for shown in slicer.app.layoutManager().visible_views():
        shown.forceRender()
    host.grab(FOLDER / name)


if __name__ == "__main__":
    main()
