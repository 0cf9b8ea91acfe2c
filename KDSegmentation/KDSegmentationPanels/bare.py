"""What stands in for the board where the packages are missing that the other panels import."""

from __future__ import annotations

from KDSegmentationLogic.dependencies import missing
from KDSegmentationPanels import controls


class BareBoard:
    """Shows the set-up's messages; ``complete`` is called once when the packages are there."""

    def __init__(self, parent, layout, complete):
        self._complete = complete
        self._listeners = []
        self._message = controls.text(parent, layout)

    def listen(self, refresh):
        """``refresh`` is called without arguments after every change."""
        self._listeners.append(refresh)

    def tell(self, message):
        """Show a ``Message`` (or a sentence); None takes the last one away."""
        controls.say(self._message, str(message) if message else "")
        self.refresh()

    def refresh(self):
        """Have the set-up look again."""
        for listener in self._listeners:
            listener()
        if self._listeners and not missing("numpy", "SimpleITK"):
            self._listeners = []
            self._message.visible = False
            self._complete()
