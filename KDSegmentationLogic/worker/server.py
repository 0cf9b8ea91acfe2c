"""The child process: takes requests one after the other, keeps models, images and its manners.

Two threads: one reads requests, so that a cancel is seen while the other one works. When the
stream of requests ends, the client is gone: the folder is removed and the process ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import SimpleITK as sitk

from KDSegmentationLogic.errors import Cancelled, UsageError
from KDSegmentationLogic.inference.pipeline import Predictor, Result
from KDSegmentationLogic.progress import CancelToken, Monitor
from KDSegmentationLogic.worker import protocol
from KDSegmentationLogic.worker.faults import error_of_exception
from KDSegmentationLogic.worker.models import Models, OpenPredictor, warm_up
from KDSegmentationLogic.worker.protocol import Cancel, Done, Hello, Segment, Warm
from KDSegmentationLogic.worker.volumes import Volume, read_volume, write_result

_STEP_SECONDS = 0.05  # between messages of progress; a person sees no more
_LAST_WORK_SECONDS = 1.0  # for the work to see that it is over, before the process ends


def main(open_predictor: OpenPredictor = Predictor) -> None:
    """Serve the client at the other end of stdin and stdout; never returns.

    The pipes are moved away from where libraries print and look: what these print goes to
    stderr, and on Windows a library that asks for stdin's kind would wait for our reading.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the client ends this one
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    faulthandler.enable()
    Server(requests, replies, Models(open_predictor)).run()


class Server:
    """Answers the requests of one client."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO, models: Models) -> None:
        self._requests, self._replies, self._models = requests, replies, models
        self._sending = threading.Lock()
        self._work: queue.Queue[Hello | Warm | Segment | None] = queue.Queue()
        self._tokens: dict[int, CancelToken] = {}
        self._idle = threading.Event()
        self._folder: Path | None = None
        self._images: dict[str, sitk.Image] = {}

    def run(self) -> None:
        """Until the client is gone, then end the process."""
        reader = threading.Thread(target=self._listen, daemon=True)
        reader.start()
        while (request := self._work.get()) is not None:
            self._handle(request)
        self._idle.set()
        reader.join()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            for line in self._requests:
                self._receive(line)
        self._leave()

    def _receive(self, line: bytes) -> None:
        try:
            request = protocol.request_of(line)
        except protocol.LineError as error:
            refusal = UsageError(
                f"The worker process was sent a line that is no request: {error}.",
                "Use the WorkerClient of the same installation of KDSegmentation.",
            )
            self._send(protocol.failure_of(refusal, None))
            return
        if isinstance(request, Cancel):
            if token := self._tokens.get(request.job):
                token.cancel()
            return
        if isinstance(request, (Warm, Segment)):
            self._tokens[request.job] = CancelToken()
        self._work.put(request)

    def _leave(self) -> None:
        """The client is gone: leave nothing behind, whatever the work is at."""
        for token in list(self._tokens.values()):
            token.cancel()
        self._work.put(None)
        self._idle.wait(_LAST_WORK_SECONDS)
        for _ in range(20):  # work that did not stop may be writing a result
            if self._folder is None or not self._folder.exists():
                break
            shutil.rmtree(self._folder, ignore_errors=True)
            time.sleep(0.01)
        os._exit(0)

    def _handle(self, request: Hello | Warm | Segment) -> None:
        if isinstance(request, Hello):
            self._folder = Path(request.folder)
            self._send(protocol.Ready(protocol.PROTOCOL, os.getpid()))
            return
        token = self._tokens[request.job]
        try:
            reply: protocol.Reply = self._done(request, _Telling(self, request.job, token).monitor)
        except Cancelled:
            reply = protocol.Stopped(request.job)
        except Exception as exception:
            error, fatal = error_of_exception(exception)
            reply = protocol.failure_of(error, request.job, fatal)
        del self._tokens[request.job]
        self._send(reply)

    def _done(self, request: Warm | Segment, monitor: Monitor) -> Done:
        from KDSegmentationLogic.inference.peak import PeakMemory  # psutil may be missing

        with PeakMemory() as peak:
            predictor = self._models.predictor(request.bundle, request.settings, monitor)
            if isinstance(request, Warm):
                warm_up(predictor)
                return Done(request.job, predictor.device, "", {}, peak.gib)
            images = self._read(request.images)
            result = predictor.segment(images, request.point or request.box, monitor)
        return self._handed_over(result, request.job, peak.gib)

    def _read(self, volumes: tuple[Volume, ...]) -> list[sitk.Image]:
        """The images of a request; those of the one before are still here."""
        assert self._folder is not None
        known, self._images = self._images, {}
        for volume in volumes:
            self._images[volume.file] = known.get(volume.file) or read_volume(volume, self._folder)
        return [self._images[volume.file] for volume in volumes]

    def _handed_over(self, result: Result, job: int, peak_gib: float) -> Done:
        assert self._folder is not None
        folder = self._folder
        volumes = {
            name: write_result(image, folder, f"result-{job}-{name}.raw")
            for name in ("labels", "probabilities", "deviation", "entropy")
            if (image := getattr(result, name)) is not None
        }
        return Done(job, result.device, result.engine, result.seconds, peak_gib, **volumes)

    def _send(self, message: protocol.Reply) -> None:
        line = protocol.to_line(message)
        # A client that is gone hears nothing; the reading thread sees that as well.
        with self._sending, contextlib.suppress(OSError, ValueError):
            self._replies.write(line)
            self._replies.flush()

    def tell(self, message: protocol.Reply) -> None:
        """Send what is no answer: progress and notices."""
        self._send(message)


class _Telling:
    """A job's monitor, whose words go to the client, not more often than a person can read."""

    def __init__(self, server: Server, job: int, token: CancelToken) -> None:
        self._server, self._job, self._next = server, job, 0.0
        self.monitor = Monitor(self._progress, self._notice, token)

    def _progress(self, fraction: float, text: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _STEP_SECONDS
            self._server.tell(protocol.Progress(self._job, fraction, text))

    def _notice(self, text: str) -> None:
        self._server.tell(protocol.Notice(self._job, text))
