"""The section Result: the structures, how they are shown, and where they go."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from KDSegmentationLogic.scene import edits, layouts, results
from KDSegmentationLogic.scene.view import messages
from KDSegmentationLogic.scene.view.saving import FORMATS, format_title, proposed_name, with_ending
from KDSegmentationLogic.scene.view.text import number
from KDSegmentationPanels import controls

SHOWN, COLOUR, NAME, VOLUME = range(4)


class ResultPanel:
    """A table of structures, surfaces on demand, Segment Editor, and saving."""

    def __init__(self, board, layout):
        self.board = board
        self.section, content = controls.section(_("Result"), layout)
        kinds = ["vtkMRMLSegmentationNode"]
        self.node = controls.selector(self.section, kinds, self.onNode, _("nothing yet"))
        content.addWidget(self.node)
        self._build_table(content)
        self._build_surfaces(content)
        line, beside = controls.row(content, self.section)
        self.edit = controls.button(_("Edit"), line, beside, self.onEdit)
        beside.addStretch(1)
        beside.addWidget(qt.QLabel(_("Save as"), line))
        self.format = qt.QComboBox(line)
        for ending in FORMATS:
            self.format.addItem(format_title(ending), ending)
        self.format.connect("activated(int)", self.onFormat)
        beside.addWidget(self.format)
        self.save = controls.button(_("Save..."), line, beside, self.onSave)
        board.listen(self.refresh)

    def _build_table(self, content):
        self.table = qt.QTableWidget(0, 4, self.section)
        self.table.setHorizontalHeaderLabels([_("Show"), _("Colour"), _("Structure"), _("mL")])
        self.table.verticalHeader().setVisible(False)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        for column in (SHOWN, COLOUR, VOLUME):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.table.connect("cellClicked(int,int)", self.onCell)
        content.addWidget(self.table)

    def _build_surfaces(self, content):
        line, beside = controls.row(content, self.section)
        self.surfaces = qt.QCheckBox(_("Show in 3-D"), line)
        self.surfaces.connect("clicked(bool)", self.onSurfaces)
        beside.addWidget(self.surfaces)
        self.smoothingLabel = qt.QLabel(_("Smoothing:"), line)
        beside.addWidget(self.smoothingLabel)
        self.smoothing = qt.QSlider(qt.Qt.Horizontal, line)
        self.smoothing.setRange(0, 10)
        self.smoothing.tracking = False  # surfaces take a while to make
        self.smoothing.toolTip = _("Of the surfaces in 3-D; segments keep their voxels.")
        self.smoothing.connect("valueChanged(int)", self.onSmoothing)
        beside.addWidget(self.smoothing)

    @property
    def segmentation(self):
        """The node that the panel shows; None where there is none."""
        return self.board.node(self.board.state.result)

    def refresh(self):
        node = self.segmentation
        self.node.setCurrentNode(node)
        structures = results.structures(node) if node is not None else []
        self._fill(structures)
        problem = None
        if node is None:
            problem = messages.result_missing()
        elif not structures:
            problem = messages.structures_missing(node.GetName())
        for control in (self.surfaces, self.edit, self.save):
            controls.allow(control, problem)
        state = self.board.state
        self.surfaces.checked = state.surfaces
        self.smoothing.enabled = state.surfaces and problem is None
        self.smoothing.value = round(10 * state.smoothing)
        controls.choose(self.format, state.save_as)

    def _fill(self, structures):
        self.structures = structures
        self.table.visible = bool(structures)
        self.table.setRowCount(len(structures))
        for line, structure in enumerate(structures):
            self._cell(line, SHOWN, "●" if structure.visible else "○")
            colour = self._cell(line, COLOUR, "")
            colour.setBackground(qt.QBrush(qt.QColor(*structure.color)))
            self._cell(line, NAME, structure.name)
            volume = self._cell(line, VOLUME, number(structure.volume_ml))
            volume.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        height = self.table.horizontalHeader().height + 4
        height += sum(self.table.rowHeight(line) for line in range(min(len(structures), 8)))
        self.table.setFixedHeight(height)

    def _cell(self, line, column, text):
        item = qt.QTableWidgetItem(text)
        self.table.setItem(line, column, item)
        return item

    def onNode(self, node=None):
        node_id = node.GetID() if node is not None else None
        if node_id != self.board.state.result:
            self.board.change(result=node_id)

    def onCell(self, line, column):
        structure = self.structures[line]
        if column == SHOWN:
            visible = not structure.visible
            results.set_visible(self.segmentation, structure.segment_id, visible)
        elif column == COLOUR:
            colour = qt.QColorDialog.getColor(
                qt.QColor(*structure.color), self.section, structure.name
            )
            if not colour.isValid():
                return
            rgb = (colour.red(), colour.green(), colour.blue())
            results.set_color(self.segmentation, structure.segment_id, rgb)
        elif column == NAME:
            centre = self.segmentation.GetSegmentCenterRAS(structure.segment_id)
            if structure.volume_ml > 0:
                layouts.jump(dict.fromkeys(("Axial", "Coronal", "Sagittal"), centre))
            return
        self.board.refresh()

    def onSurfaces(self, shown):
        self.board.change(surfaces=shown)
        self._show_surfaces()

    def onSmoothing(self, value):
        if self.board.refreshing or value == round(10 * self.board.state.smoothing):
            return
        self.board.change(smoothing=value / 10)
        self._show_surfaces()

    def _show_surfaces(self):
        node, state = self.segmentation, self.board.state
        if node is not None:
            self.board.attempt(results.show_surfaces, node, state.surfaces, state.smoothing)

    def onEdit(self):
        """Hand the segmentation over to Segment Editor, with the volume that it was made of."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(self.segmentation)
        volume = edits.volume_of(self.segmentation)
        if volume is not None:
            editor.setSourceVolumeNode(volume)

    def onFormat(self, index):
        self.board.change(save_as=self.format.itemData(index))

    def onSave(self):
        ending = self.board.state.save_as
        path = qt.QFileDialog.getSaveFileName(
            self.section,
            _("Save the segmentation"),
            proposed_name(self.segmentation.GetName(), ending),
            f"{format_title(ending)} (*{ending})",
        )
        if not path:
            return
        node = self.segmentation
        chosen, path = path, with_ending(path, ending)
        if not controls.may_write(chosen, results.files_of(node, path)):
            return
        written = self.board.attempt(results.save, node, path, edits.volume_of(node))
        if written:
            self.board.tell(_("Saved: {files}").format(files=", ".join(map(str, written))))
