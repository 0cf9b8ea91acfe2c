"""KDSegmentation as a module of 3D Slicer: description, widget and test.

The work is done by the package ``KDSegmentationLogic``; its class for scripts is
``KDSegmentationLogic.scene.logic.SceneLogic``, which the widget holds as ``logic``, so that
``slicer.util.getModuleLogic("KDSegmentation")`` finds it. No class here is called
``KDSegmentationLogic``: Slicer's usual name would hide the package.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

PACKAGE = "KDSegmentationLogic"
PANELS = "KDSegmentationPanels"
STUDENT, ENSEMBLE = "HippocampusMR-student", "HippocampusMR-ensemble"

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
        parent.dependencies = [
            "Markups",
            "Segmentations",
            "SubjectHierarchy",
            "Tables",
            "Terminologies",
            "Volumes",
        ]
        parent.contributors = ["The KDSegmentation contributors"]
        parent.helpText = _(
            "Segments an image with a small network that was distilled from an ensemble of"
            " large ones, and shows student and ensemble side by side."
            " <ol><li>Choose a volume, or load the sample image.</li>"
            " <li>Press Segment, or Place points and click on a structure in a slice view;"
            " Ctrl-click (Cmd-click on macOS) takes it away again.</li>"
            " <li>Save the result, or hand it over to Segment Editor.</li></ol>"
            " Each model names what it was trained on and what was measured of it."
            " For research only, not for clinical use."
        )
        parent.acknowledgementText = _(
            "The method is that of Noothout et al. 2022 (doi:10.1117/1.JMI.9.5.052407)."
            " Each model names its training data, its licence and the work to cite."
            " The sample image is the ICBM 152 atlas of the Montreal Neurological Institute"
            " (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033);"
            " its notice lies beside it (Resources/SampleData/NOTICE.txt)."
        )
        slicer.app.connect("startupCompleted()", register_sample)


class KDSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: puts the sections together and follows the scene."""

    def __init__(self, parent=None):
        self.logic = None
        self.board = None
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from KDSegmentationLogic.dependencies import missing

        self.logic = scene_logic()
        if missing("numpy", "SimpleITK"):
            self._open_set_up()
        else:
            self._open()

    def _open_set_up(self):
        """Where even what the other panels are made of is missing: set-up, until it is there."""
        from KDSegmentationPanels.bare import BareBoard
        from KDSegmentationPanels.setup import SetupPanel

        bare = BareBoard(self.parent, self.layout, self._open_late)
        self.setupPanel = SetupPanel(bare, self.layout)
        bare.refresh()

    def _open_late(self):
        self.setupPanel.section.deleteLater()
        self._open()
        self.enter()

    def _open(self):
        from KDSegmentationPanels.board import Board
        from KDSegmentationPanels.clicks import Clicks
        from KDSegmentationPanels.compare import ComparePanel
        from KDSegmentationPanels.inputs import InputsPanel
        from KDSegmentationPanels.region import RegionPanel
        from KDSegmentationPanels.result import ResultPanel
        from KDSegmentationPanels.run import RunPanel
        from KDSegmentationPanels.runs import Runs
        from KDSegmentationPanels.setup import SetupPanel

        self.board = Board(self.logic)
        self.runs = Runs(self.board, self.parent)
        self.clicks = Clicks(self.runs.pick, self.runs.unpick, self.board.refresh)
        self.inputsPanel = InputsPanel(self.board, self.invite, self.layout)
        self.regionPanel = RegionPanel(self.board, self.clicks, self.runs.warm, self.layout)
        self.runPanel = RunPanel(self.board, self.runs, self.layout)
        self.resultPanel = ResultPanel(self.board, self.layout)
        self.comparePanel = ComparePanel(self.board, self.runs, self.layout)
        self.setupPanel = SetupPanel(self.board, self.layout)
        self.layout.addStretch(1)
        self.runs.compared = self.showComparison
        self._follow_folding()
        self._follow_scene()

    def _follow_folding(self):
        # Set-up is not among them: it opens where something is missing.
        self.sections = {
            "inputs": self.inputsPanel.section,
            "region": self.regionPanel.section,
            "run": self.runPanel.section,
            "result": self.resultPanel.section,
            "compare": self.comparePanel.section,
        }
        for section in self.sections.values():
            section.connect("contentsCollapsed(bool)", self.onFolded)
        self.board.listen(self.fold)

    def fold(self):
        """Fold the sections as the state says."""
        for name, section in self.sections.items():
            folded = name in self.board.state.collapsed
            if section.collapsed != folded:
                section.collapsed = folded

    def onFolded(self, _collapsed=False):
        folded = [name for name, section in self.sections.items() if section.collapsed]
        self.board.change(collapsed=tuple(folded))

    def _follow_scene(self):
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self.onSceneReplaced)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self.onNodes)

    def invite(self):
        """The sample image is there: the next click may be one on a structure."""
        self.regionPanel.invite()

    def showComparison(self):
        """Other views come up, which are there to be looked at."""
        self.clicks.stop()
        self.comparePanel.show()

    def enter(self):
        if self.board is not None:
            self.comparePanel.restore()
            self.board.load()

    def exit(self):
        if self.board is not None:
            self.clicks.stop()

    def cleanup(self):
        """The module is reloaded, or Slicer ends: nothing of it may stay."""
        self.removeObservers()
        if self.board is None:
            return
        self.clicks.stop()
        self.runs.close()
        self.board.close()
        self.board = None
        self.logic.close()
        # A reload hides the old panels and keeps them, and with them what they observe.
        for section in (*self.sections.values(), self.setupPanel.section):
            section.deleteLater()

    def onSceneStartClose(self, _scene, _event):
        self.clicks.stop()
        self.runs.cancel()

    def onSceneReplaced(self, _scene, _event):
        self.comparePanel.restore()
        self.board.tell(None)
        self.board.load()

    def onNodes(self, scene, _event):
        # Of a scene being loaded or closed, the end is told by an event of its own.
        if not scene.IsBatchProcessing() and not self.board.refreshing:
            self.board.guess_later()

    def onReload(self):
        """Slicer reloads this file only; the packages have to be imported afresh with it."""
        self.cleanup()
        forget_packages()
        ScriptedLoadableModuleWidget.onReload(self)


class KDSegmentationTest(ScriptedLoadableModuleTest):
    """Slicer's Reload and Test button, and ``ctest``, run this."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        for test in (
            self.test_models_are_found,
            self.test_the_sample_is_segmented_at_a_click,
            self.test_student_and_ensemble_are_compared,
        ):
            self.setUp()
            try:
                test()
            except unittest.SkipTest as reason:
                self.delayDisplay(str(reason))

    def skip_without_packages(self):
        """A build machine has Slicer alone."""
        from KDSegmentationLogic.dependencies import SEGMENTING, missing

        absent = missing(*SEGMENTING)
        if absent:
            self.skipTest(f"Not installed here: {', '.join(absent)}")

    def test_models_are_found(self):
        names = [model.name for model in scene_logic().models()]
        self.assertTrue(names, "no model is installed")
        self.assertEqual(len(names), len(set(names)))

    def test_the_sample_is_segmented_at_a_click(self):
        self.skip_without_packages()
        from KDSegmentationPanels.sample import HIPPOCAMPUS, load_sample

        from KDSegmentationLogic.scene.results import structures

        self.delayDisplay("Segmenting the right hippocampus of the sample image")
        logic = scene_logic()
        try:
            volume = load_sample()
            node = logic.pick(volume, STUDENT, HIPPOCAMPUS, waitForCompletion=True)
            found = [structure for structure in structures(node) if structure.volume_ml > 0]
            self.assertEqual(len(found), 2)
            # A hippocampus has 2 to 5 mL.
            self.assertGreater(sum(structure.volume_ml for structure in found), 2.0)
            self.assertLess(sum(structure.volume_ml for structure in found), 5.0)
        finally:
            logic.close()

    def test_student_and_ensemble_are_compared(self):
        self.skip_without_packages()
        from KDSegmentationPanels.sample import HIPPOCAMPUS, load_sample

        from KDSegmentationLogic.scene.tables import rows_from_table

        self.delayDisplay("Comparing student and ensemble")
        logic = scene_logic()
        try:
            nodes = logic.compare(load_sample(), STUDENT, ENSEMBLE, point=HIPPOCAMPUS)
            for row in rows_from_table(nodes.tables[0]):
                self.assertGreater(row["dice"], 0.7)
        finally:
            logic.close()


def scene_logic():
    """The class that scripts call; imported late, since opening Slicer must stay quick."""
    from KDSegmentationLogic.scene.logic import SceneLogic

    return SceneLogic()


def register_sample():
    """Offer the sample image in the module Sample Data, once Slicer has started."""
    from KDSegmentationPanels.sample import register_sample

    register_sample()


def forget_packages():
    """Drop our packages from Python's memory, so that the next import reads the files."""
    for name in list(sys.modules):
        if name.split(".")[0] in (PACKAGE, PANELS):
            del sys.modules[name]
