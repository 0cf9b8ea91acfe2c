"""The section Run: where it will run and why, the one big button, and how far it is."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from KDSegmentationLogic.scene.view import estimates, readiness, setup
from KDSegmentationPanels import controls


class RunPanel:
    """Device and engine with the reason, Segment or Cancel, progress, and what happened."""

    def __init__(self, board, runs, layout):
        self.board = board
        self.runs = runs
        self.section, content = controls.section(_("Run"), layout)
        line, beside = controls.row(content, self.section)
        beside.addWidget(qt.QLabel(_("Device:"), line))
        self.device = qt.QComboBox(line)
        for name in estimates.DEVICES:
            self.device.addItem(estimates.device_title(name), name)
        self.device.connect("activated(int)", self.onDevice)
        beside.addWidget(self.device)
        beside.addWidget(qt.QLabel(_("Engine:"), line))
        self.engine = qt.QComboBox(line)
        for name in estimates.engines():
            self.engine.addItem(estimates.engine_title(name), name)
        self.engine.connect("activated(int)", self.onEngine)
        beside.addWidget(self.engine)
        beside.addStretch(1)
        self.reason = controls.text(self.section, content)
        self.keep = qt.QComboBox(self.section)
        self.keep.addItem(_("Make a new segmentation"), False)
        self.keep.addItem(_("Replace the previous result"), True)
        self.keep.toolTip = _(
            "A result that you have changed since is never replaced; segmentations of your own"
            " are never touched."
        )
        self.keep.connect("activated(int)", self.onKeep)
        content.addWidget(self.keep)
        self.button = controls.button(_("Segment"), self.section, content, self.onButton)
        self.button.minimumHeight = 34
        self.bar = qt.QProgressBar(self.section)
        self.bar.setRange(0, 1000)
        self.bar.textVisible = False
        self.bar.maximumHeight = 8
        content.addWidget(self.bar)
        self.progress = controls.text(self.section, content)
        self.message = controls.text(self.section, content)
        self.notices = controls.text(self.section, content)
        board.listen(self.refresh)
        runs.listen(self.refresh_progress)

    def refresh(self):
        board = self.board
        state = board.state
        controls.choose(self.device, state.device)
        controls.choose(self.engine, state.engine)
        controls.choose(self.keep, state.replace)
        self.keep.visible = state.region != "point"
        controls.say(self.reason, self._reason(state))
        controls.say(self.message, str(board.message) if board.message else "")
        controls.say(self.notices, "\n".join(board.notices))
        self.refresh_progress()

    def _reason(self, state):
        found = setup.likely_device() if state.device == "auto" else None
        parts = [self.runs.reason() or estimates.device_reason(state.device, found)]
        model = self.board.model
        if model is not None:
            key = (state.model, state.device, state.region)
            parts.append(estimates.time_text(model, self.runs.last_seconds.get(key)))
        return " ".join(part for part in parts if part)

    def refresh_progress(self):
        task = self.runs.current
        self.bar.visible = task is not None
        if task is None:
            controls.say(self.progress, "")
            self.button.text = _("Segment")
            problem = readiness.why_not_segment(self.board.situation())
            controls.allow(self.button, problem, _("Segment the chosen volume."))
            return
        self.bar.value = round(1000 * task.fraction)
        waiting = len(self.runs.tasks) - 1
        controls.say(self.progress, estimates.progress_text(task.text, task.seconds_left, waiting))
        self.button.text = _("Cancel")
        controls.allow(self.button, None, _("End what runs, and what waits."))

    def onDevice(self, index):
        self.board.change(device=self.device.itemData(index))

    def onEngine(self, index):
        self.board.change(engine=self.engine.itemData(index))

    def onKeep(self, index):
        self.board.change(replace=self.keep.itemData(index))

    def onButton(self):
        if self.runs.current is None:
            self.runs.segment()
        else:
            self.runs.cancel()
