"""The section Inputs: which model, what it is, and a volume for each of its channels."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from KDSegmentationLogic.scene.view import cards, choices
from KDSegmentationLogic.scene.view.situation import loaded_volumes, model_named
from KDSegmentationPanels import controls
from KDSegmentationPanels.sample import load_sample


class InputsPanel:
    """Model list with import, card, licence, and one volume selector a channel.

    ``sample_loaded`` is called without arguments after the sample image was loaded.
    """

    def __init__(self, board, sample_loaded, layout):
        self.board = board
        self.sample_loaded = sample_loaded
        self.section, content = controls.section(_("Inputs"), layout)
        self._build_models(content)
        self.channels = qt.QWidget(self.section)
        self.channelForm = qt.QFormLayout(self.channels)
        self.channelForm.setContentsMargins(0, 0, 0, 0)
        content.addWidget(self.channels)
        self.selectors = []
        self._titles = None
        self._build_proposal(content)
        self._build_queue(content)
        board.listen(self.refresh)

    def _build_models(self, content):
        line, beside = controls.row(content, self.section)
        self.modelLabel = qt.QLabel(_("Model:"), line)
        beside.addWidget(self.modelLabel)
        self.models = qt.QComboBox(line)
        self.models.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        self.models.connect("activated(int)", self.onModel)
        beside.addWidget(self.models)
        self.importButton = qt.QPushButton(_("Import"), line)
        self.importButton.toolTip = _("Install a model from a folder or a .zip file.")
        self.importMenu = qt.QMenu(self.importButton)
        self.importFolder = self.importMenu.addAction(_("From a folder..."))
        self.importFolder.connect("triggered()", self.onImportFolder)
        self.importZip = self.importMenu.addAction(_("From a .zip file..."))
        self.importZip.connect("triggered()", self.onImportZip)
        self.importButton.setMenu(self.importMenu)
        beside.addWidget(self.importButton)
        self.summary = controls.text(self.section, content)
        self.problems = controls.text(self.section, content)
        line, beside = controls.row(content, self.section)
        self.cardButton = qt.QPushButton(_("About this model"), line)
        self.cardButton.checkable = True
        self.cardButton.connect("clicked()", self.board.refresh)
        beside.addWidget(self.cardButton)
        self.licenceButton = controls.button(_("Licence"), line, beside, self.onLicence)
        beside.addStretch(1)
        self.card = qt.QTextBrowser(self.section)
        self.card.openLinks = False
        self.card.visible = False
        self.card.setFixedHeight(300)
        content.addWidget(self.card)
        self.licence = qt.QCheckBox(self.section)
        self.licence.connect("clicked(bool)", self.board.accept)
        content.addWidget(self.licence)

    def _build_proposal(self, content):
        self.sampleButton = controls.button(
            _("Load the sample image"),
            self.section,
            content,
            self.onSample,
            _("The ICBM 152 template, the average of 152 heads; it comes with the module."),
        )
        self.proposal = controls.text(self.section, content)
        self.proposalButton = controls.button(_("Use it"), self.section, content, self.onProposal)

    def _build_queue(self, content):
        self.queueLabel = controls.text(
            self.section, content, _("Segment these volumes too, one after another:")
        )
        self.queue = qt.QListWidget(self.section)
        self.queue.maximumHeight = 90
        self.queue.connect("itemChanged(QListWidgetItem*)", self.onQueue)
        content.addWidget(self.queue)

    def refresh(self):
        board = self.board
        model = board.model
        entries = [(cards.menu_text(found), found.name) for found in board.models]
        if board.state.model and model is None:
            entries.append((board.state.model, board.state.model))
        controls.fill(self.models, entries)
        controls.choose_titled(self.models, board.state.model)
        controls.say(self.summary, cards.summary(model) if model else "")
        controls.say(self.problems, "\n".join(str(problem) for problem in board.problems))
        self.cardButton.enabled = self.licenceButton.enabled = model is not None
        self.card.visible = self.cardButton.checked and model is not None
        if model is None:
            self.licence.visible = False
        else:
            relative = model_named(board.models, model.description.relative or "")
            self.card.html = cards.card(model, relative)
            # Once accepted, it is out of the way; About this model brings it back.
            self.licence.visible = self.cardButton.checked or not board.accepted()
            self.licence.text = _("I accept the model's licence, {licence}").format(
                licence=model.description.licence
            )
            self.licence.checked = board.accepted()
        self._refresh_channels(model)
        self._refresh_proposal(model)
        self._refresh_queue(model)

    def _refresh_channels(self, model):
        count = len(model.description.channels) if model else 0
        titles = [choices.channel_title(model, n) for n in range(count)]
        if titles != self._titles:
            self._rebuild_channels(titles)
        for selector, node in zip(self.selectors, self.board.volumes()):  # noqa: B905
            selector.setCurrentNode(node)

    def _rebuild_channels(self, titles):
        self._titles = titles
        self.selectors = []
        while self.channelForm.rowCount():
            self.channelForm.removeRow(0)
        for title in titles:
            kinds = ["vtkMRMLScalarVolumeNode"]
            selector = controls.selector(self.channels, kinds, self.onVolume, _("none chosen"))
            self.selectors.append(selector)
            self.channelForm.addRow(title, selector)

    def _refresh_proposal(self, model):
        loaded = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        self.sampleButton.visible = loaded == 0
        proposed = self._proposed(model)
        text = choices.proposal_text(model, self._filled(), proposed) if proposed else ""
        controls.say(self.proposal, text)
        self.proposalButton.visible = proposed is not None

    def _refresh_queue(self, model):
        single = model is not None and len(model.description.channels) == 1
        others = []
        if single and self.board.state.region == "whole":
            taken = self.board.state.volumes
            others = [v for v in loaded_volumes() if v[0] not in taken]
        self.queueLabel.visible = self.queue.visible = bool(others)
        wanted = [(i, name, i in self.board.state.queue) for i, name in others]
        items = [self.queue.item(n) for n in range(self.queue.count)]
        # The item that was just ticked must outlive its own signal.
        if wanted == [(i.data(qt.Qt.UserRole), i.text(), _ticked(i)) for i in items]:
            return
        self.queue.clear()
        for node_id, name, chosen in wanted:
            item = qt.QListWidgetItem(name)
            item.setData(qt.Qt.UserRole, node_id)
            item.setCheckState(qt.Qt.Checked if chosen else qt.Qt.Unchecked)
            self.queue.addItem(item)

    def _filled(self):
        return [node is not None for node in self.board.volumes()]

    def _proposed(self, model):
        if model is None:
            return None
        return choices.proposal(model, self._filled(), self.board.models)

    def onModel(self, index):
        name = self.models.itemData(index)
        if name != self.board.state.model:
            self.board.choose_model(name)

    def onVolume(self, _node=None):
        # The combo boxes tell in any order: all are read, whichever spoke.
        ids = [selector.currentNodeID or None for selector in self.selectors]
        if tuple(ids) != self.board.state.volumes:
            self.board.change(volumes=tuple(ids))

    def onLicence(self):
        slicer.util.infoDisplay(
            self.board.model.description.licence,
            _("Licence"),
            detailedText=self.board.model.licence_text,
        )

    def onQueue(self, _item=None):
        chosen = []
        for n in range(self.queue.count):
            item = self.queue.item(n)
            if _ticked(item):
                chosen.append(item.data(qt.Qt.UserRole))
        if tuple(chosen) != self.board.state.queue:
            self.board.change(queue=tuple(chosen))

    def onSample(self):
        if self.board.attempt(load_sample) is not None:
            self.board.guess()
            self.sample_loaded()

    def onProposal(self):
        proposed = self._proposed(self.board.model)
        if proposed is not None:
            self.board.choose_model(proposed.name)

    def onImportFolder(self):
        self._import(qt.QFileDialog.getExistingDirectory(self.section, _("Folder of a model")))

    def onImportZip(self):
        path = qt.QFileDialog.getOpenFileName(
            self.section, _("File of a model"), "", _("Model") + " (*.zip)"
        )
        self._import(path)

    def _import(self, path):
        if not path:
            return
        from KDSegmentationLogic.bundles.transfer import import_bundle

        # Every file of it is hashed, which takes a while for a large ensemble.
        qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            bundle = self.board.attempt(import_bundle, path)
        finally:
            qt.QApplication.restoreOverrideCursor()
        if bundle is not None:
            self.board.models = self.board.logic.models()
            self.board.choose_model(bundle.name)
            self.board.tell(_("{model} was installed.").format(model=bundle.description.title))


def _ticked(item):
    return item.checkState() == qt.Qt.Checked
