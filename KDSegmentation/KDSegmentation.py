"""KDSegmentation as a module of 3D Slicer: description, widget and test.

The work is done by the package ``KDSegmentationLogic``; its class for scripts is
``KDSegmentationLogic.scene.logic.SceneLogic``, which the widget holds as ``logic``, so that
``slicer.util.getModuleLogic("KDSegmentation")`` finds it. No class here is called
``KDSegmentationLogic``: Slicer's usual name would hide the package.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

PACKAGE = "KDSegmentationLogic"

# An installed extension has the package beside this file. In the source tree it stands one
# folder higher, where Slicer does not look.
if importlib.util.find_spec(PACKAGE) is None:
    sys.path.append(str(Path(__file__).resolve().parent.parent))


class KDSegmentation(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("KD Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Terminologies", "SubjectHierarchy"]
        parent.contributors = ["The KDSegmentation contributors"]
        parent.helpText = _(
            "Segments an image with a small network that was distilled from an ensemble of"
            " large ones. The models that come with the module are listed in its panel."
        )
        parent.acknowledgementText = _(
            "Each model names its training data, its licence and the work to cite."
        )


class KDSegmentationWidget(ScriptedLoadableModuleWidget):
    """The module's panel: which models are installed, and how to run them."""

    def __init__(self, parent=None):
        self.logic = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        introduction = qt.QLabel()
        introduction.wordWrap = True
        introduction.text = _(
            "To segment a volume, call"
            " slicer.util.getModuleLogic('KDSegmentation').process(volumeNode, 'model name')"
            " in the Python console with one of these models:"
        )
        self.layout.addWidget(introduction)
        self.modelList = qt.QListWidget()
        self.layout.addWidget(self.modelList)
        with slicer.util.tryWithErrorDisplay(_("The installed models cannot be listed.")):
            self.logic = scene_logic()
            for model in self.logic.models():
                self.modelList.addItem(model_text(model))

    def onReload(self):
        """Slicer reloads this file only; the package has to be imported afresh with it."""
        forget_package()
        ScriptedLoadableModuleWidget.onReload(self)


class KDSegmentationTest(ScriptedLoadableModuleTest):
    """Slicer's Reload and Test button, and ``ctest``, run this."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_models_are_found()

    def test_models_are_found(self):
        names = [model.name for model in scene_logic().models()]
        self.assertTrue(names, "no model is installed")
        self.assertEqual(len(names), len(set(names)))


def scene_logic():
    """The class that scripts call; imported late, since opening Slicer must stay quick."""
    from KDSegmentationLogic.scene.logic import SceneLogic

    return SceneLogic()


def model_text(model):
    """One line of the list: the name to call the model by, and what it segments."""
    return _("{name}: {title}").format(name=model.name, title=model.description.title)


def forget_package():
    """Drop the package from Python's memory, so that the next import reads the files."""
    for name in list(sys.modules):
        if name == PACKAGE or name.startswith(PACKAGE + "."):
            del sys.modules[name]
