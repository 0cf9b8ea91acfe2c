"""The section Compare: student and ensemble, or a model and a reference segmentation."""

from __future__ import annotations

from pathlib import Path

import qt
from slicer.i18n import tr as _

from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.scene import layouts, results
from KDSegmentationLogic.scene.view import comparing, framing, messages, readiness
from KDSegmentationLogic.scene.view.compared import shown_comparison
from KDSegmentationLogic.scene.view.saving import proposed_name, with_ending
from KDSegmentationPanels import controls

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")


class ComparePanel:
    """What to compare with, the linked views, and a table of how much the two agree."""

    def __init__(self, board, runs, layout):
        self.board = board
        self.runs = runs
        self.section, content = controls.section(_("Compare"), layout)
        group = qt.QButtonGroup(self.section)
        line, beside = controls.row(content, self.section)
        self.withModel = self._choice(group, _("With model"), line, beside, self.onWithModel)
        self.second = qt.QComboBox(line)
        self.second.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        self.second.connect("activated(int)", self.onSecond)
        beside.addWidget(self.second)
        line, beside = controls.row(content, self.section)
        self.withReference = self._choice(
            group, _("With reference"), line, beside, self.onWithReference
        )
        kinds = ["vtkMRMLSegmentationNode"]
        self.reference = controls.selector(line, kinds, self.onReference, _("none chosen"))
        beside.addWidget(self.reference)
        self.button = controls.button(_("Compare"), self.section, content, self.runs.compare)
        self.verdict = controls.text(self.section, content)
        self.table = qt.QTableWidget(self.section)
        self.table.verticalHeader().setVisible(False)
        self.table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        content.addWidget(self.table)
        self._build_views(content)
        board.listen(self.refresh)

    def _choice(self, group, title, line, layout, chosen):
        made = qt.QRadioButton(title, line)
        made.connect("clicked()", chosen)
        group.addButton(made)
        layout.addWidget(made)
        return made

    def _build_views(self, content):
        line, beside = controls.row(content, self.section)
        self.sideBySide = qt.QCheckBox(_("Side by side"), line)
        self.sideBySide.connect("clicked(bool)", self.onSideBySide)
        beside.addWidget(self.sideBySide)
        self.orientation = qt.QComboBox(line)
        titles = {"Axial": _("Axial"), "Coronal": _("Coronal"), "Sagittal": _("Sagittal")}
        for name in ORIENTATIONS:
            self.orientation.addItem(titles[name], name)
        self.orientation.connect("activated(int)", self.onOrientation)
        beside.addWidget(self.orientation)
        self.uncertainty = qt.QCheckBox(_("Uncertainty"), line)
        self.uncertainty.connect("clicked(bool)", self.onUncertainty)
        beside.addWidget(self.uncertainty)
        beside.addStretch(1)
        line, beside = controls.row(content, self.section)
        tip = _("Move the views to the slices in which the two differ most.")
        self.jump = controls.button(_("Largest difference"), line, beside, self.onJump, tip)
        self.save = controls.button(_("Save table..."), line, beside, self.onSave)
        beside.addStretch(1)

    def refresh(self):
        board, state = self.board, self.board.state
        others = [model for model in board.models if model.name != state.model]
        controls.fill(self.second, [(m.description.title, m.name) for m in others])
        second = board.second
        controls.choose_titled(self.second, second.name if second else "")
        self.withModel.checked = state.compared_with == "model"
        self.withReference.checked = state.compared_with == "reference"
        self.second.enabled = state.compared_with == "model"
        self.reference.enabled = state.compared_with == "reference"
        self.reference.setCurrentNode(board.node(state.reference))
        controls.allow(
            self.button, self._problem(second), _("Run both and show where they differ.")
        )
        self._refresh_result()

    def _problem(self, second):
        now = self.board.situation()
        if self.board.state.compared_with == "model":
            return readiness.why_not_compare(now, second)
        node = self.board.node(self.board.state.reference)
        if node is None:
            return readiness.why_not_compare(now, None)
        names = [structure.name for structure in results.structures(node)]
        return readiness.why_not_compare(now, None, names, node.GetName())

    def _refresh_result(self):
        shown = shown_comparison(self.board.state.comparison)
        self.shown = shown
        rows = shown.agreement if shown is not None else []
        text = ""
        if shown is not None:
            text = comparing.verdict(rows) + "\n" + comparing.runs_text(shown.runs)
        controls.say(self.verdict, text)
        self.table.visible = bool(rows)
        self._fill(rows)
        problem = None if shown is not None else messages.comparison_missing()
        for control in (self.sideBySide, self.orientation, self.jump, self.save):
            controls.allow(control, problem)
        uncertain = shown is not None and shown.nodes.uncertainty is not None
        self.uncertainty.enabled = uncertain and self.board.state.side_by_side
        self.uncertainty.checked = uncertain and framing.uncertainty_shown()
        self.uncertainty.toolTip = _(
            "Entropy of the second model (of the first beside a reference), laid over the third"
            " view: from 0.3, where it starts to be unsure, to 1, where all classes are alike."
        )
        self.sideBySide.toolTip = _("1: the first, 2: the second, 1-2: where they differ.")
        self.sideBySide.checked = self.board.state.side_by_side and shown is not None
        controls.choose(self.orientation, self.board.state.orientation)

    def _fill(self, rows):
        columns, cells = comparing.columns(rows), comparing.cells(rows)
        self.table.setColumnCount(len(columns))
        self.table.setRowCount(len(cells))
        for column, (title, tip) in enumerate(columns):
            item = qt.QTableWidgetItem(title)
            item.setToolTip(tip)
            self.table.setHorizontalHeaderItem(column, item)
        for line, texts in enumerate(cells):
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                self.table.setItem(line, column, item)
        header = self.table.horizontalHeader()
        for column in range(len(columns)):
            stretched = qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch
            header.setSectionResizeMode(column, stretched)
        height = self.table.horizontalHeader().height + 4
        height += sum(self.table.rowHeight(line) for line in range(min(len(cells), 10)))
        self.table.setFixedHeight(height)

    def onWithModel(self):
        self.board.change(compared_with="model")

    def onWithReference(self):
        self.board.change(compared_with="reference")

    def onSecond(self, index):
        self.board.change(second_model=self.second.itemData(index))

    def onReference(self, node=None):
        node_id = node.GetID() if node is not None else None
        if node_id != self.board.state.reference:
            self.board.change(reference=node_id)

    def restore(self):
        """Make the layout known again: a loaded scene that shows it has its number only."""
        layouts.register_layout()

    def show(self):
        """Show the comparison that was just made: views side by side, where it differs most."""
        self.board.change(side_by_side=True)
        self._arrange()

    def _arrange(self):
        if self.shown is None:
            return
        state = self.board.state
        if not state.side_by_side:
            layouts.leave_side_by_side()
            framing.leave()
        elif self.shown.volume is not None:
            nodes = self.shown.nodes
            uncertain = framing.uncertainty_shown()
            layouts.show_side_by_side(nodes, self.shown.volume, state.orientation)
            framing.show_uncertainty(uncertain)
            framing.arrange(nodes)
            layouts.jump(layouts.largest_disagreement(nodes.disagreement))
            # New views get their size later.
            qt.QTimer.singleShot(0, self._zoom)
        self.board.refresh()

    def _zoom(self):
        shown = shown_comparison(self.board.state.comparison)
        if shown is not None and self.board.state.side_by_side:
            framing.zoom(shown.nodes)

    def onSideBySide(self, wanted):
        self.board.change(side_by_side=wanted)
        self._arrange()

    def onOrientation(self, index):
        self.board.change(orientation=self.orientation.itemData(index))
        self._arrange()

    def onUncertainty(self, shown):
        framing.show_uncertainty(shown)
        self.board.refresh()

    def onJump(self):
        found = layouts.largest_disagreement(self.shown.nodes.disagreement)
        if found:
            layouts.jump(found)
        else:
            self.board.tell(_("The two agree in every voxel."))

    def onSave(self):
        name = proposed_name(self.shown.nodes.tables[0].GetName(), ".csv")
        path = qt.QFileDialog.getSaveFileName(
            self.section, _("Save the table"), name, _("Table") + " (*.csv)"
        )
        if not path:
            return
        chosen, path = path, with_ending(path, ".csv")
        if controls.may_write(chosen, [path]) and self.board.attempt(self._write, path):
            self.board.tell(_("Saved: {files}").format(files=path))

    def _write(self, path):
        try:
            text = comparing.csv_text([self.shown.agreement, self.shown.runs])
            return Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            message = messages.not_written(path, str(error))
            raise SceneError(message.cause, message.remedy) from error
