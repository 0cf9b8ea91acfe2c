"""The section Region: the whole volume, a box, or a click on a structure."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from KDSegmentationLogic.scene.view import readiness, regions
from KDSegmentationLogic.scene.view.situation import first_box
from KDSegmentationPanels import controls


class RegionPanel:
    """Three ways to say where.

    ``clicks`` is the tool that waits for clicks in slice views; ``warm`` is called without
    arguments when it begins to.
    """

    def __init__(self, board, clicks, warm, layout):
        self.board = board
        self.clicks = clicks
        self.warm = warm
        self.section, content = controls.section(_("Region"), layout)
        group = qt.QButtonGroup(self.section)
        self.whole = self._mode(group, _("Whole volume"), content, self.onWhole)
        line, beside = controls.row(content, self.section)
        self.box = self._mode(group, _("Inside a region"), beside, self.onBox, line)
        self.roi = controls.selector(line, ["vtkMRMLMarkupsROINode"], self.onRoi, _("none chosen"))
        beside.addWidget(self.roi)
        tip = _("Make a region in the middle of the volume; drag its handles in the views.")
        self.newRoi = controls.button(_("New region"), line, beside, self.onNewRoi, tip)
        line, beside = controls.row(content, self.section)
        self.point = self._mode(group, _("Click on a structure"), beside, self.onPoint, line)
        beside.addStretch(1)
        self.place = qt.QPushButton(_("Place points"), line)
        self.place.checkable = True
        self.place.connect("clicked(bool)", self.onPlace)
        beside.addWidget(self.place)
        self.hint = controls.text(self.section, content)
        board.listen(self.refresh)

    def _mode(self, group, title, layout, chosen, parent=None):
        made = qt.QRadioButton(title, parent or self.section)
        made.connect("clicked()", chosen)
        group.addButton(made)
        layout.addWidget(made)
        return made

    def refresh(self):
        board = self.board
        mode = board.state.region
        volume = board.first_volume()
        self.whole.checked = mode == "whole"
        self.box.checked = mode == "roi"
        self.point.checked = mode == "point"
        controls.allow(self.whole, regions.why_not_whole(board.model, volume))
        self.roi.setCurrentNode(board.node(board.state.roi))
        self.roi.visible = self.newRoi.visible = mode == "roi"
        self.place.visible = mode == "point"
        now = board.situation()
        problem = None if self.clicks.active else readiness.why_not_pick(now)
        controls.allow(self.place, problem, _("Then click on a structure in a slice view."))
        self.place.checked = self.clicks.active
        controls.say(self.hint, regions.hint(mode, board.model, volume, self.clicks.active))

    def onWhole(self):
        self._choose("whole")

    def onBox(self):
        self._choose("roi")

    def onPoint(self):
        self._choose("point")

    def _choose(self, mode):
        if mode != "point":
            self.clicks.stop()
        self.board.change(region=mode)

    def onRoi(self, node=None):
        node_id = node.GetID() if node is not None else None
        if node_id != self.board.state.roi:
            self.board.change(roi=node_id)

    def onNewRoi(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", _("Region"))
        node.CreateDefaultDisplayNodes()
        volume = next((v for v in self.board.volumes() if v is not None), None)
        if volume is not None:
            centre, size = first_box(volume, self.board.model)
            node.SetCenterWorld(centre)
            node.SetSize(size)
        self.board.change(roi=node.GetID())

    def invite(self):
        """After the sample image was loaded: wait for a click, where the model wants one."""
        if self.board.state.region == "point":
            self.onPlace(True)

    def onPlace(self, checked):
        if checked:
            self.clicks.start()
            self.warm()
        else:
            self.clicks.stop()
        self.board.refresh()
