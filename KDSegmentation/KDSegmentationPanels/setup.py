"""The section Set-up: what is missing, in words, and installing it after a question."""

from __future__ import annotations

import importlib

import qt
import slicer
from slicer.i18n import tr as _

from KDSegmentationLogic.scene.view import messages, setup
from KDSegmentationLogic.scene.view.text import listed
from KDSegmentationPanels import controls


class SetupPanel:
    """The self-check, one button for torch, one for the rest, and the way without a network."""

    def __init__(self, board, layout):
        self.board = board
        self.section, content = controls.section(_("Set-up"), layout)
        self.check = controls.text(self.section, content)
        line, beside = controls.row(content, self.section)
        self.torch = controls.button(
            _("Install PyTorch..."), line, beside, self.onTorch, _("With Slicer's own extension.")
        )
        self.rest = controls.button(_("Install the rest..."), line, beside, self.onRest)
        beside.addStretch(1)
        line, beside = controls.row(content, self.section)
        self.again = controls.button(_("Check again"), line, beside, self.onCheck)
        self.offline = controls.button(_("Without a network..."), line, beside, self.onOffline)
        beside.addStretch(1)
        self.section.collapsed = not setup.lacking()
        board.listen(self.refresh)

    def refresh(self):
        absent = setup.lacking(False)
        controls.say(self.check, setup.check_text(absent))
        self.torch.visible = any(need.module == "torch" for need in absent)
        self.rest.visible = bool(setup.by_pip(absent))

    def onCheck(self):
        importlib.invalidate_caches()
        self.board.refresh()

    def onOffline(self):
        slicer.util.infoDisplay(
            _("How to install without a network"),
            _("Set-up"),
            detailedText=setup.offline_text(),
        )

    def onTorch(self):
        try:
            from PyTorchUtils import PyTorchUtilsLogic
        except ImportError:
            self.board.tell(messages.torch_extension_missing())
            return
        self._install(["torch"], self._install_torch, PyTorchUtilsLogic)

    def _install_torch(self, logic_class):
        # The extension asks by itself, and knows which build fits the GPU.
        torch = logic_class().installTorch(
            askConfirmation=True, torchVersionRequirement=setup.TORCH_REQUIREMENT
        )
        return torch is not None

    def onRest(self):
        requirements = setup.by_pip(setup.lacking(False))
        if slicer.util.confirmOkCancelDisplay(setup.question(requirements), _("Set-up")):
            self._install(requirements, self._install_rest, requirements)

    def _install_rest(self, requirements):
        try:
            from slicer.packaging import pip_install
        except ImportError:  # before Slicer 5.12
            slicer.util.pip_install(" ".join(requirements))
        else:
            pip_install(requirements)
        return True

    def _install(self, names, install, *arguments):
        """On the main thread, as pip in Slicer must be; the window waits meanwhile."""
        qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            installed = install(*arguments)
        except Exception as error:  # pip fails in every way there is
            self.board.tell(messages.install_failed(listed(names), str(error)))
        else:
            text = _("Installed: {packages}.").format(packages=listed(names))
            self.board.tell(text if installed else None)  # None: the user said no
        finally:
            qt.QApplication.restoreOverrideCursor()
        self.onCheck()
