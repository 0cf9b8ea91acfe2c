"""What runs: starting it, asking how far it is, and showing what came out."""

from __future__ import annotations

import time

import qt
from slicer.i18n import tr as _

from KDSegmentationLogic.scene.view import estimates, messages, readiness, setup
from KDSegmentationLogic.scene.view.outcome import outcome_text
from KDSegmentationLogic.scene.view.situation import clicked_place
from KDSegmentationLogic.scene.view.text import listed

POLL_MS = 40


class Runs:
    """The tasks that this panel asked for, and the timer that asks after them.

    The timer runs only while there is something to ask after: an idle module costs nothing.
    """

    def __init__(self, board, parent):
        self.board = board
        self.tasks = []
        self.last_seconds = {}
        self.compared = None
        self._started = {}
        self._warm = set()
        self._said = []
        self.reasons = {}
        self._listeners = []
        self.timer = qt.QTimer(parent)
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self.tick)

    def listen(self, progressed):
        """``progressed`` is called without arguments whenever a task may have moved on."""
        self._listeners.append(progressed)

    @property
    def current(self):
        """The task that runs or is next; None where there is none."""
        return self.tasks[0] if self.tasks else None

    def segment(self):
        """Segment the chosen volumes, then those of the queue."""
        board, state = self.board, self.board.state
        roi = board.node(state.roi) if state.region == "roi" else None
        queued = [board.node(node_id) for node_id in state.queue]
        cases = [board.volumes()]
        if state.region == "whole" and len(state.volumes) == 1:
            cases += [[node] for node in queued if node is not None]
        self._forget(None)
        for volumes in cases:
            self._start(self._process, volumes, roi)

    def pick(self, point):
        """Segment the structure under a point (world RAS mm)."""
        problem = readiness.why_not_pick(self.board.situation())
        self._forget(problem)
        if problem is None:
            self._start(self._pick, point)

    def unpick(self, point):
        """Take away the picked structure under a point (world RAS mm)."""
        board = self.board
        node = board.node(board.state.picked)
        board.tell(None)
        if node is None:
            board.tell(messages.background_clicked())
            return
        names = board.attempt(board.logic.unpick, node, point)
        if names:
            board.tell(_("Removed: {names}.").format(names=listed(names)))

    def compare(self):
        """Run both models, or the model beside a reference segmentation."""
        self._forget(None)
        self._start(self._compare)

    def warm(self):
        """Load the model while the user aims: the first click is then as quick as the next."""
        board, state = self.board, self.board.state
        if board.model is not None and not setup.lacking():
            board.attempt(board.logic.warm, state.model, state.settings)
            self.timer.start()

    def cancel(self):
        """End all tasks."""
        for task in list(self.tasks):
            self.board.attempt(self.board.logic.cancel, task)
        self.tick()

    def close(self):
        """Stop asking; what still runs is the logic's to end."""
        self.timer.stop()
        self.timer.disconnect("timeout()", self.tick)
        self.timer.setParent(None)
        self.tasks = []
        self._listeners = []

    def _process(self, volumes, roi):
        state = self.board.state
        return self.board.logic.process(
            volumes,
            state.model,
            roi=roi,
            settings=state.settings,
            waitForCompletion=False,
            onDone=self._segmented,
            replace=state.replace,
        )

    def _pick(self, point):
        state = self.board.state
        return self.board.logic.pick(
            self.board.volumes(),
            state.model,
            point,
            segmentation=self.board.node(state.picked),
            settings=state.settings,
            waitForCompletion=False,
            onDone=self._picked,
        )

    def _compare(self):
        board, state = self.board, self.board.state
        reference = state.compared_with == "reference"
        second = board.node(state.reference) if reference else board.second.name
        point = clicked_place(state) if state.region == "point" else None
        return board.logic.compare(
            board.volumes(),
            state.model,
            second,
            point=point,
            roi=board.node(state.roi) if state.region == "roi" else None,
            settings=state.settings,
            waitForCompletion=False,
            onDone=self._compared,
        )

    def _start(self, ask, *arguments):
        task = self.board.attempt(ask, *arguments)
        if task is None:
            return
        if not task.ended:
            self.tasks.append(task)
            self._its_turn()
            self.timer.start()
        self._progressed()

    def tick(self):
        """Take in what has arrived. The timer's slot."""
        self.board.attempt(self.board.logic.poll)
        before = len(self.tasks)
        self.tasks = [task for task in self.tasks if not task.ended]
        self._its_turn()
        if not self.tasks:
            self._started = {}
            # A worker that was told to give up, and does not, is ended by asking after it.
            if not self.board.logic.busy:
                self.timer.stop()
        if before:
            self._progressed()
        if len(self.tasks) != before:
            self.board.refresh()

    def _its_turn(self):
        """A run is timed from the click, or from the end of the one before it."""
        if self.tasks:
            self._started.setdefault(id(self.tasks[0]), time.monotonic())

    def _progressed(self):
        self.board.running = self.tasks[0].title if self.tasks else ""
        for listener in self._listeners:
            listener()

    def _segmented(self, task):
        if self._ended(task):
            self.board.change(result=task.node_ids[0])

    def _picked(self, task):
        if self._ended(task):
            self.board.change(result=task.node_ids[0], picked=task.node_ids[0])

    def _compared(self, task):
        if self._ended(task):
            self.board.change(comparison=task.node_ids, result=task.node_ids[0])
            if self.compared is not None:
                self.compared()

    def reason(self):
        """Where the chosen model ran the last time with these choices, and why; or empty."""
        return self.reasons.get(self._how(), "")

    def _how(self):
        state = self.board.state
        return state.model, state.device, state.engine

    def _remember(self, seconds):
        """For the next estimate; not the first run, in which the model was loaded."""
        state = self.board.state
        key = (state.model, state.device, state.region)
        if key in self._warm:
            self.last_seconds[key] = seconds
        self._warm.add(key)

    def _ended(self, task):
        """Say how a task ended; whether there is something to show."""
        board = self.board
        began = self._started.pop(id(task), time.monotonic())
        self._say(task)
        ran = estimates.where_it_ran(task.notices)
        if ran:
            self.reasons[self._how()] = ran
        if task.state == "failed":
            board.tell(messages.of_error(task.error))
            return False
        if task.state != "done" or not task.nodes:
            board.tell(task.text[:1].upper() + task.text[1:] + "." if task.text else None)
            return False
        seconds = time.monotonic() - began
        if len(task.node_ids) == 1:
            self._remember(seconds)
        board.tell(outcome_text(task.nodes[0], seconds))
        return True

    def _forget(self, message):
        """Take away what was said of runs that are over, and show a message or none."""
        if not self.tasks:
            self._said = []
        self.board.tell(message)

    def _say(self, task):
        """A task's notices, below those of the queue before it: what failed there stays said."""
        notices = estimates.worth_saying(task.notices)
        self.board.notices = [*self._said, *notices]
        if task.error is not None:
            notices = [*notices, str(task.error)]
        self._said += [f"{task.title}: {notice}" for notice in notices]
