"""A scripted module as an extension's author would write it, for the host's own tests."""

# ruff: noqa: N802, ARG002

import ctk
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HostExample(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Host example")
        parent.categories = ["Testing"]
        slicer.app.connect("startupCompleted()", self.register)

    def register(self):
        import SampleData

        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="Testing", sampleName="Example", uris="file:///none", fileNames="none.nrrd"
        )


class HostExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    events = []  # noqa: RUF012 (outlives the widget, for the tests)

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = HostExampleLogic()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HostExample.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.ui.selector.connect("currentNodeChanged(vtkMRMLNode*)", self.onNode)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.section = ctk.ctkCollapsibleButton()
        self.section.text = "More"
        self.layout.addWidget(self.section)
        form = qt.QFormLayout(self.section)
        self.entry = qt.QLineEdit()
        form.addRow("Name", self.entry)
        self.layout.addStretch(1)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onClose)

    def onNode(self, node):
        self.ui.applyButton.enabled = node is not None
        self.ui.applyButton.toolTip = "Apply" if node is not None else "Choose a volume first"

    def onApply(self):
        node = self.ui.selector.currentNode()
        node.SetName(self.entry.text or "applied")
        node.InvokeEvent(vtk.vtkCommand.ModifiedEvent)

    def onClose(self, caller, event):
        self.events.append("close")

    def enter(self):
        self.events.append("enter")

    def exit(self):
        self.events.append("exit")

    def cleanup(self):
        self.events.append("cleanup")
        self.removeObservers()


class HostExampleLogic(ScriptedLoadableModuleLogic):
    pass


class HostExampleTest(ScriptedLoadableModuleTest):
    def runTest(self):
        HostExampleWidget.events.append("test")
