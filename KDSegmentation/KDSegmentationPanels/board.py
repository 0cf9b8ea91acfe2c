"""What all panels share: the state, the installed models, and news of changes."""

from __future__ import annotations

import logging
from dataclasses import replace

import qt
import slicer

from KDSegmentationLogic.errors import KDSegError
from KDSegmentationLogic.scene.state import (
    ModuleState,
    read_state,
    state_node,
    write_state,
)
from KDSegmentationLogic.scene.view import choices, messages, regions
from KDSegmentationLogic.scene.view.licences import SETTING, AcceptedLicences
from KDSegmentationLogic.scene.view.situation import (
    loaded_volumes,
    model_named,
    situation,
    volume_facts,
)


class Board:
    """The state of the panels, mirrored in the scene, and who wants to hear of changes.

    Panels call ``change``; it stores the state in the scene's node and calls ``refresh`` of
    every panel. Nothing else writes the state, so there is no loop to break.
    """

    def __init__(self, logic):
        self.logic = logic
        self.models = []
        self.problems = []
        self.state = ModuleState()
        self.message = None
        self.notices = []
        self.running = ""
        self.placing = False
        self._listeners = []
        self._refreshing = False
        self._guessing = False
        self._situation = None
        self._licences = AcceptedLicences(qt.QSettings().value(SETTING, "") or "")

    def listen(self, refresh):
        """``refresh`` is called without arguments after every change."""
        self._listeners.append(refresh)

    def close(self):
        """Forget the panels; nothing is called any more."""
        self._listeners = []

    @property
    def refreshing(self):
        """Whether controls change because of the state, and not because of the user."""
        return self._refreshing

    @property
    def model(self):
        """The chosen bundle; None where none is chosen or it is gone."""
        return model_named(self.models, self.state.model)

    @property
    def second(self):
        """The bundle to compare with: the chosen one, else the first that fits; or None."""
        chosen = model_named(self.models, self.state.second_model)
        if chosen is not None and chosen.name != self.state.model:
            return chosen
        return choices.second_model(self.model, self.models) if self.model else None

    def node(self, node_id):
        """The scene's node of an ID; None where there is none."""
        return slicer.mrmlScene.GetNodeByID(node_id) if node_id else None

    def volumes(self):
        """The chosen volume nodes, one a channel, None where none is chosen."""
        return [self.node(node_id) for node_id in self.state.volumes]

    def first_volume(self):
        """What counts of the first channel's volume."""
        volumes = self.volumes()
        return volume_facts(volumes[0]) if volumes else None

    def situation(self):
        """Everything that decides whether something can be run."""
        # All panels ask for it in one refresh, and it looks at voxels.
        if self._refreshing and self._situation is not None:
            return self._situation
        accepted = self.model is None or self._licences.accepted(self.model)
        self._situation = situation(self.state, self.models, accepted, self.running)
        return self._situation

    def load(self):
        """Take the models and the state afresh, after the module or a scene was opened."""
        self.models = self.logic.models()
        self.problems = self.logic.problems()
        self.state = read_state(state_node())
        self.guess()

    def guess(self):
        """Choose volumes for channels that have none, where there is only one way."""
        self._settle(True)

    def guess_later(self):
        """As ``guess``, once Qt has time: nodes come in crowds, and half made."""
        if not self._guessing:
            self._guessing = True
            qt.QTimer.singleShot(0, self._guess_now)

    def _guess_now(self):
        self._guessing = False
        if self._listeners:
            self.guess()

    def change(self, **fields):
        """Change the state as the user wanted it."""
        if self._refreshing:
            return
        self.state = replace(self.state, **fields)
        self._settle("model" in fields)

    def choose_model(self, name):
        """Take another model; volumes stay with the channels that both have."""
        model = model_named(self.models, name)
        volumes = choices.carried_volumes(self.model, self.state.volumes, model) if model else ()
        self.tell(None)
        self.change(model=name, volumes=volumes)

    def tell(self, message):
        """Show a ``Message`` (or a sentence) in the section Run; None takes the last one away."""
        self.message = message
        self.refresh()

    def attempt(self, work, *arguments):
        """Call ``work``; a failure is shown as a message. What it returned, or None."""
        try:
            return work(*arguments)
        except KDSegError as error:
            self.tell(messages.of_error(error))
        except Exception as error:  # a fault of ours must not leave the panel half changed
            logging.exception("KD Segmentation")
            self.tell(messages.unexpected(f"{type(error).__name__}: {error}"))
        return None

    def accepted(self):
        """Whether the chosen model's licence was accepted."""
        return self.model is not None and self._licences.accepted(self.model)

    def accept(self, accepted):
        """Keep in Slicer's settings whether the chosen model's licence is accepted."""
        if self.model is None or self._refreshing:
            return
        (self._licences.accept if accepted else self._licences.withdraw)(self.model)
        qt.QSettings().setValue(SETTING, self._licences.stored())
        self.refresh()

    def refresh(self):
        """Have every panel show the state."""
        if self._refreshing:
            return
        self._refreshing = True
        self._situation = None
        try:
            for listener in self._listeners:
                listener()
        finally:
            self._refreshing = False

    def _settle(self, guessing=False):
        """Fill in what follows from the choices, store, show."""
        self.state = self._completed(self.state, guessing)
        write_state(state_node(), self.state)
        self.refresh()

    def _completed(self, state, guessing):
        """A model is chosen where there is one, each channel has a place, the mode fits."""
        if not state.model:
            first = choices.first_model(self.models)
            state = replace(state, model=first.name if first else "")
        model = model_named(self.models, state.model)
        if model is None:
            return state
        count = len(model.description.channels)
        volumes = (*state.volumes, *(None,) * count)[:count]
        if guessing:
            volumes = choices.guessed_volumes(model, volumes, loaded_volumes())
        node = self.node(volumes[0]) if volumes else None
        region = regions.fitting(state.region, model, volume_facts(node))
        return replace(state, volumes=volumes, region=region)
