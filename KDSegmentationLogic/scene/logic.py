"""The class that Slicer scripts call.

    logic = slicer.util.getModuleLogic("KDSegmentation")
    segmentation = logic.process(volume, "HippocampusMR-student", point=(26, -21, -17))

Several volumes, without waiting:

    tasks = [
        logic.process(volume, "HippocampusMR-student", waitForCompletion=False)
        for volume in volumes
    ]
    logic.cancel(tasks[-1])

A click on a structure, another one, and one that is taken back:

    picked = logic.pick(volume, "HippocampusMR-student", (26, -21, -17), waitForCompletion=True)
    logic.pick(volume, "HippocampusMR-student", (-26, -21, -17), picked, waitForCompletion=True)
    logic.unpick(picked, (26, -21, -17))

Student and ensemble, or a model and a segmentation that is taken for the truth:

    nodes = logic.compare(volume, "HippocampusMR-student", "HippocampusMR-ensemble", point=point)
    nodes = logic.compare(volume, "HippocampusMR-student", segmentation, point=point)

Positions are world RAS mm, as Slicer shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.catalogue import find_bundle, installed_bundles, list_bundles
from KDSegmentationLogic.dependencies import SEGMENTING, require
from KDSegmentationLogic.errors import BundleError, Cancelled, KDSegError, SceneError
from KDSegmentationLogic.progress import Monitor

if TYPE_CHECKING:
    import slicer

    from KDSegmentationLogic.inference.pipeline import Result, Settings
    from KDSegmentationLogic.scene.compared import ComparisonNodes
    from KDSegmentationLogic.scene.local import Predictors
    from KDSegmentationLogic.scene.queue import Client, Queue, Work
    from KDSegmentationLogic.scene.tasks import Held, Task


class SceneLogic:
    """Runs models on volumes of the scene, in a worker process that keeps them loaded.

    Nothing of it waits where ``waitForCompletion`` is false: call ``poll`` from a timer. All
    calls are made from one thread, in Slicer the main one.
    """

    def __init__(self, worker: bool = True) -> None:
        """``worker`` false: models run in this process, and block it."""
        self._in_worker = worker
        self._queue: Queue | None = None
        self._client: Client | None = None
        self._predictors: Predictors | None = None

    def models(self) -> list[Bundle]:
        """The installed models that can be used."""
        return installed_bundles()

    def problems(self) -> list[BundleError]:
        """What is wrong with the installed models that cannot be used."""
        return list_bundles()[1]

    def process(
        self,
        volumes: slicer.vtkMRMLVolumeNode | Sequence[slicer.vtkMRMLVolumeNode],
        model: str,
        point: Sequence[float] | None = None,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        name: str | None = None,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
        waitForCompletion: bool = True,  # noqa: N803 (as Slicer's own logics have it)
        onDone: Callable[[Task], None] | None = None,  # noqa: N803
        replace: slicer.vtkMRMLSegmentationNode | bool = False,
    ) -> slicer.vtkMRMLSegmentationNode | Task:
        """Segment a volume; a segmentation node under the volume's transform.

        Parameters
        ----------
        volumes : one volume, or one a channel of the model in its order. Where they lie in
            the world counts, transforms included; the result is on the grid of the first.
        model : name of an installed model, or the folder of one.
        point : world RAS mm; only the structure there. roi : only inside it.
        name : of the segmentation; made of the volume's and the model's names if not given.
        monitor : hears of the progress; the run is then in this process, not in the worker.
        waitForCompletion : else a ``Task`` is returned at once, and several wait in a queue.
        onDone : called with the task when it has ended, in whatever way.
        replace : a segmentation of this module to put the result into, or True for the last
            one of the same volume. One that the user changed since is left alone, and a new
            one made; a notice says so.

        Raises
        ------
        KDSegError : with cause and remedy; the scene is then as it was. Without waiting
            nothing is raised, the task has the error.
        Cancelled : while waiting, the task was cancelled or its volume removed.
        """

        def work(task: Task) -> Work:
            from KDSegmentationLogic.scene import works
            from KDSegmentationLogic.scene.regions import region_in_world
            from KDSegmentationLogic.scene.tasks import Held

            return works.segmenting(
                task,
                _held(volumes),
                self._bundle(model, monitor),
                region_in_world(point, roi),
                settings or _default_settings(),
                name,
                replace if isinstance(replace, bool) else Held(replace),
            )

        task = self._run(f"{_name(volumes)}: {model}", volumes, work, 1, monitor, onDone)
        return self._node(task) if waitForCompletion and self._wait(task, monitor) else task

    def compare(
        self,
        volumes: slicer.vtkMRMLVolumeNode | Sequence[slicer.vtkMRMLVolumeNode],
        first: str,
        second: str | slicer.vtkMRMLSegmentationNode,
        point: Sequence[float] | None = None,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
        waitForCompletion: bool = True,  # noqa: N803
        onDone: Callable[[Task], None] | None = None,  # noqa: N803
    ) -> ComparisonNodes | Task:
        """Two models, usually a student and its ensemble, on the same input; or a reference.

        Adds both segmentations, the voxels where they differ, an uncertainty (the second
        model's, or the first one's beside a reference) and two tables: of agreement
        (Dice, HD95, volumes, their difference) and of runs (seconds, peak memory, device).
        A reference segmentation is copied onto the volume's grid and otherwise left alone;
        its segments are the model's structures where their names are. Other parameters and
        errors as ``process``.
        """

        def work(task: Task) -> Work:
            from KDSegmentationLogic.scene import works
            from KDSegmentationLogic.scene.regions import region_in_world
            from KDSegmentationLogic.scene.tasks import Held

            models = [one for one in (first, second) if isinstance(one, str)]
            return works.comparing(
                task,
                _held(volumes),
                [self._bundle(model, monitor) for model in models],
                None if isinstance(second, str) else Held(second),
                region_in_world(point, roi),
                settings or _default_settings(),
            )

        other = second if isinstance(second, str) else _name(second)
        steps = 2 if isinstance(second, str) else 1
        title = f"{_name(volumes)}: {first} against {other}"
        task = self._run(title, volumes, work, steps, monitor, onDone)
        return self._comparison(task) if waitForCompletion and self._wait(task, monitor) else task

    def pick(
        self,
        volumes: slicer.vtkMRMLVolumeNode | Sequence[slicer.vtkMRMLVolumeNode],
        model: str,
        point: Sequence[float],
        segmentation: slicer.vtkMRMLSegmentationNode | None = None,
        settings: Settings | None = None,
        waitForCompletion: bool = False,  # noqa: N803
        onDone: Callable[[Task], None] | None = None,  # noqa: N803
    ) -> slicer.vtkMRMLSegmentationNode | Task:
        """Click on a structure: segment round a point and add the structure under it.

        On background the nearest structure within ``region.NEAREST_MM`` is taken, with a
        notice. Structures that come in pairs are named left or right as ``scene.sides`` says.
        A structure that was picked before is replaced, not doubled.

        Parameters
        ----------
        point : world RAS mm.
        segmentation : an earlier result of ``pick`` to add to; none: a new one is made.
        """

        def work(task: Task) -> Work:
            from KDSegmentationLogic.scene import works
            from KDSegmentationLogic.scene.regions import region_in_world
            from KDSegmentationLogic.scene.tasks import Held

            return works.picking_at(
                task,
                _held(volumes),
                self._bundle(model, None),
                region_in_world(point, None),
                settings or _default_settings(),
                None if segmentation is None else Held(segmentation),
            )

        title = f"{_name(volumes)}: {model} at a point"
        task = self._run(title, volumes, work, 1, None, onDone)
        return self._node(task) if waitForCompletion and self._wait(task, None) else task

    def unpick(
        self, segmentation: slicer.vtkMRMLSegmentationNode, point: Sequence[float]
    ) -> list[str]:
        """Remove the picked structure under a world point (RAS mm); the segments' names.

        Raises
        ------
        SceneError : no picked structure is within ``region.NEAREST_MM`` of the point.
        """
        from KDSegmentationLogic.scene.picking import unpick

        return unpick(segmentation, point)

    def warm(self, model: str, settings: Settings | None = None) -> None:
        """Load a model ahead of the first click, in the worker; does not wait.

        Raises
        ------
        KDSegError : there is no such model, or the worker does not start.
        """
        require(*SEGMENTING)
        bundle = self._bundle(model, None)
        self._client_for(None).warm(bundle.folder, settings or _default_settings())

    def tasks(self) -> list[Task]:
        """Those that wait or run, in their order."""
        return self._queue.tasks() if self._queue else []

    @property
    def busy(self) -> bool:
        """Whether ``poll`` has anything to do: also while a cancelled run still ends."""
        return bool(self.tasks()) or (self._client is not None and self._client.busy)

    def cancel(self, task: Task) -> None:
        """End a task; at once for the caller, within a second for the worker."""
        if self._queue:
            self._queue.cancel(task)

    def poll(self) -> None:
        """Take in what the worker has sent; a timer calls this, it never waits for it."""
        if self._client is not None:
            self._client.poll()
        if self._queue:
            self._queue.poll()

    def close(self) -> None:
        """Cancel all tasks, end the worker, let go of models; the logic can be used again."""
        for task in self.tasks():
            self.cancel(task)
        client, self._client, self._predictors = self._client, None, None
        if client is not None:
            client.close()

    def predict(
        self,
        volumes: Sequence[slicer.vtkMRMLVolumeNode],
        model: str,
        point: Sequence[float] | None = None,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
    ) -> Result:
        """As ``process`` in this process, but the images instead of a node."""
        require(*SEGMENTING)
        from KDSegmentationLogic.scene.regions import region_in_volume, region_in_world
        from KDSegmentationLogic.scene.works import images_of

        monitor = monitor or Monitor()
        wanted = region_in_world(point, roi)
        images = images_of(volumes, monitor)
        region = region_in_volume(volumes[0], wanted)
        settings = settings or _default_settings()
        predictor = self._loaded().get(find_bundle(model), settings, monitor)
        return predictor.segment(images, region, monitor)

    def _run(
        self,
        title: str,
        volumes: Any,
        work: Callable[[Task], Work],
        steps: int,
        monitor: Monitor | None,
        on_done: Callable[[Task], None] | None,
    ) -> Task:
        """A task in the queue; failed already where even its beginning is wrong."""
        require("numpy", "SimpleITK")  # for the queue itself; the rest fails the task
        from KDSegmentationLogic.scene.queue import Queue
        from KDSegmentationLogic.scene.tasks import Task

        self._queue = self._queue or Queue()
        task = Task(title, on_done)
        try:
            require(*SEGMENTING)
            started = work(task)
            client = self._client_for(monitor)
        except KDSegError as error:
            self._queue.refuse(task, error)
        else:
            self._queue.add(task, started, client, _listed(volumes), steps)
        return task

    def _wait(self, task: Task, monitor: Monitor | None) -> bool:
        """Until the task has ended well. Raises its error, or ``Cancelled``."""
        import slicer

        def tick() -> None:
            slicer.app.processEvents()
            if monitor is not None:
                monitor.check()

        assert self._queue is not None
        self._queue.wait(task, tick)
        if task.error is not None:
            raise task.error
        if task.state == "cancelled":
            raise Cancelled
        return True

    def _node(self, task: Task) -> slicer.vtkMRMLSegmentationNode:
        return task.nodes[0]

    def _comparison(self, task: Task) -> ComparisonNodes:
        from KDSegmentationLogic.scene.compared import ComparisonNodes

        nodes = ComparisonNodes.of(task.node_ids)
        assert nodes is not None
        return nodes

    def _bundle(self, model: str, monitor: Monitor | None) -> Bundle:
        """Where it runs here it is verified now; else the worker does so, once."""
        return find_bundle(model, verify=monitor is not None or not self._in_worker)

    def _client_for(self, monitor: Monitor | None) -> Client:
        from KDSegmentationLogic.scene.local import LocalClient

        if monitor is not None or not self._in_worker:
            return LocalClient(self._loaded(), monitor)
        if self._client is None:
            from KDSegmentationLogic.worker.client import WorkerClient

            self._client = WorkerClient()
        return self._client

    def _loaded(self) -> Predictors:
        from KDSegmentationLogic.scene.local import Predictors

        self._predictors = self._predictors or Predictors()
        return self._predictors


def _listed(volumes: Any) -> list[slicer.vtkMRMLVolumeNode]:
    return list(volumes) if isinstance(volumes, (list, tuple)) else [volumes]


def _held(volumes: Any) -> list[Held]:
    from KDSegmentationLogic.scene.tasks import Held

    nodes = _listed(volumes)
    if not nodes or None in nodes:
        raise SceneError("No volume was chosen.", "Choose one volume a channel of the model.")
    return [Held(node) for node in nodes]


def _name(volumes: Any) -> str:
    nodes = [node for node in _listed(volumes) if node is not None]
    return nodes[0].GetName() if nodes else "no volume"


def _default_settings() -> Settings:
    from KDSegmentationLogic.inference.pipeline import Settings

    return Settings()
