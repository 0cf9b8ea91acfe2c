"""What a person does with the module, in words: for the tests of the panels."""

from __future__ import annotations

from typing import Any

BOX = (8, 8)
"""Where the square of a check box or the circle of a radio button is, in its widget."""


def finish(host: Any, widget: Any, seconds: float = 60.0) -> None:
    """Wait until nothing runs any more."""
    host.wait_until(lambda: not widget.runs.tasks, seconds)
    host.events()


def choose_whole(host: Any, widget: Any) -> None:
    host.click(widget.regionPanel.whole, at=BOX)


def segment(host: Any, widget: Any) -> None:
    """Press Segment and wait for the end."""
    host.click(widget.runPanel.button)
    finish(host, widget)


def view(name: str = "Red") -> Any:
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).sliceView()


def pixel(of: Any, ras: tuple[float, float, float]) -> tuple[int, int]:
    """Where a world position (RAS mm) is in a slice view, in Qt's pixels."""
    import vtk
    from PySide6 import QtWidgets

    inverse = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(of.mrmlSliceNode().GetXYToRAS(), inverse)
    x, y = inverse.MultiplyPoint((*ras, 1.0))[:2]
    return int(x), int(QtWidgets.QWidget.size(of).height() - 1 - y)


def click_at(host: Any, ras: tuple[float, float, float], control: bool = False) -> None:
    """Click in the red slice view, moved to the position."""
    red = view()
    red.mrmlSliceNode().JumpSliceByCentering(*ras)
    host.events()
    host.click(red, at=pixel(red, ras), control=control)


def names(widget: Any) -> list[str]:
    """The structures in the table of the section Result."""
    table = widget.resultPanel.table
    return [table.item(row, 2).text() for row in range(table.rowCount)]


def segmentations() -> list[Any]:
    import slicer

    return list(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))


def centre(volume: Any) -> tuple[float, float, float]:
    """The middle of a volume's first structure: the phantom's is left of its middle."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    x, y, z = ((bounds[n] + bounds[n + 1]) / 2 for n in (0, 2, 4))
    return x + 3.0, y, z
