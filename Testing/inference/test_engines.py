"""Engines: the same labels from all, one choice by a rule, converted once, cancelled in time."""

from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.catalogue import find_bundle
from KDSegmentationLogic.bundles.description import NO_SUM, Description, StoredFile
from KDSegmentationLogic.bundles.writing import update_bundle
from KDSegmentationLogic.errors import Cancelled, DependencyError, DeviceError
from KDSegmentationLogic.inference.engines import conversion, registry, store
from KDSegmentationLogic.inference.engines.base import Engine, EngineMemoryError, is_out_of_memory
from KDSegmentationLogic.inference.engines.estimate import Logits, facts_of
from KDSegmentationLogic.inference.engines.folding import fold
from KDSegmentationLogic.inference.engines.registry import choose, open_engine
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import CancelToken, Monitor
from Testing.making import phantom, tiny_student

CPU_ENGINES = ("openvino", "onnxruntime")
NETWORKS = [
    ("student_unet", {"widths": [4, 8]}, (1, 2, 16, 8, 24)),
    ("student_unet", {"widths": [4, 8], "stem_stride": [1, 2, 2]}, (1, 2, 6, 8, 12)),
    ("student_unet", {"widths": [4, 8], "dimensions": 2}, (3, 2, 8, 12)),
    ("unet3d", {"widths": [4, 8]}, (2, 2, 6, 8, 10)),
    ("vnet3d", {"widths": [4, 8]}, (2, 2, 6, 8, 10)),
    ("resnet3d", {"width": 4, "blocks": 2}, (1, 2, 8, 12, 16)),
    ("dilated2d", {"width": 4, "head": [4, 8], "dilations": [2, 4]}, (2, 2, 9, 11)),
]


def random_network(name: str, arguments: dict[str, object]) -> torch.nn.Module:
    """With statistics in its norms that are not those of a new network."""
    torch.manual_seed(0)
    network = build_network(name, {"in_channels": 2, "classes": 3, **arguments})
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.normal_(module.bias)
    return network.eval()


@pytest.fixture
def real_student() -> Bundle:
    return find_bundle("HippocampusMR-student")


def batch_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("name", "arguments", "shape"), NETWORKS)
def test_folding_leaves_the_function_as_it_is(
    name: str, arguments: dict[str, object], shape: tuple[int, ...]
) -> None:
    network = random_network(name, arguments)
    batch = torch.from_numpy(batch_of(shape))
    with torch.inference_mode():
        wanted = network(batch)
        folded = fold(copy.deepcopy(network))
        torch.testing.assert_close(folded(batch), wanted, rtol=1e-4, atol=1e-4)
    norms = (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
    left = [sum(isinstance(m, norms) for m in n.modules()) for n in (network, folded)]
    assert left[1] < left[0] or name == "dilated2d"  # whose norms stand behind an activation


@pytest.mark.parametrize(("name", "arguments", "shape"), NETWORKS)
def test_logits_have_the_size_that_the_facts_say(
    name: str, arguments: dict[str, object], shape: tuple[int, ...]
) -> None:
    network = random_network(name, arguments)
    facts = facts_of(network)
    logits = TorchEngine(network).logits(batch_of(shape), Monitor())
    assert logits.shape[1] == facts.classes
    assert [a * s for a, s in zip(logits.shape[2:], facts.stride, strict=True)] == [*shape[2:]]
    assert facts.logit_bytes == 4 * 3 / np.prod(facts.stride)
    assert facts.layer_bytes > facts.logit_bytes


@pytest.mark.parametrize("engine", CPU_ENGINES)
@pytest.mark.parametrize(("name", "arguments", "shape"), NETWORKS)
def test_engines_give_the_logits_of_torch(
    engine: str,
    name: str,
    arguments: dict[str, object],
    shape: tuple[int, ...],
    engine_of: Callable[[str, torch.nn.Module], Engine],
) -> None:
    """Also for other sizes and counts than those that the network was converted with."""
    network, batch = random_network(name, arguments), batch_of(shape)
    wanted = TorchEngine(copy.deepcopy(network), 1.7)
    found = engine_of(engine, network)
    for some in (batch, np.concatenate([batch] * 2), np.concatenate([batch] * 2, axis=-1)):
        logits = wanted.logits(some, Monitor())
        np.testing.assert_allclose(found.logits(some, Monitor()), logits, atol=2e-4, rtol=1e-3)
        probabilities = wanted.probabilities(some, Monitor())
        np.testing.assert_allclose(found.probabilities(some, Monitor()), probabilities, atol=1e-4)


def test_labels_of_all_engines_agree_on_a_real_model_and_image(
    real_student: Bundle, data_folder: Path
) -> None:
    from KDSegmentationLogic.imaging.reading import read_image

    case = sorted((data_folder / "Task04_Hippocampus" / "imagesTr").glob("*.nii*"))[0]
    results = {}
    for engine in ("torch", *CPU_ENGINES):
        predictor = Predictor(real_student, Settings("cpu", engine, threads=1))
        labels = predictor.segment([read_image(case)]).labels
        results[engine] = sitk.GetArrayFromImage(labels)
    assert (results["torch"] > 0).sum() > 500
    for engine in CPU_ENGINES:
        assert (results[engine] == results["torch"]).mean() >= 0.999


@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "nncf"])
def test_packages_are_kept_from_reporting_what_they_run(name: str, tmp_path: Path) -> None:
    """They would keep an identity, counts and a database in the user's folder, and send them."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs {name}")
    functions = {
        "openvino": "openvino_runtime",
        "onnxruntime": "onnx_runtime",
        "nncf": "nncf_package",
    }
    function = functions[name]
    code = f"from KDSegmentationLogic.inference.engines import runtimes; runtimes.{function}()"
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = environment | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], env=home, cwd=root, check=True)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_a_cancelled_forward_ends_and_the_next_one_is_right(
    engine: str, engine_of: Callable[[str, torch.nn.Module], Engine]
) -> None:
    network = random_network("student_unet", {"widths": [8, 16]})
    opened, token = engine_of(engine, network), CancelToken()
    small = batch_of((1, 2, 8, 8, 8))
    wanted = opened.logits(small, Monitor())

    class CancelsWhileRunning(Monitor):
        def check(self) -> None:
            if running:
                token.cancel()
            super().check()

    running: list[bool] = []
    monitor = CancelsWhileRunning(cancel=token)
    monitor.check()
    running.append(True)
    with pytest.raises(Cancelled):
        opened.logits(batch_of((1, 2, 128, 128, 128)), monitor)
    np.testing.assert_array_equal(opened.logits(small, Monitor()), wanted)


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_a_bundles_own_graph_is_run_in_place_of_its_weights(engine: str, tmp_path: Path) -> None:
    """Told by another network in it: one that calls all voxels the second structure."""
    bundle = tiny_student(tmp_path / "with-graph")
    member = bundle.description.members[0]
    network = build_network(member.architecture, member.arguments).eval()
    torch.nn.init.zeros_(network.classifier.weight)
    with torch.no_grad():
        network.classifier.bias.copy_(torch.tensor([0.0, 0.0, 9.0]))  # type: ignore[union-attr]
    (tmp_path / "graph.onnx").write_bytes(conversion.to_onnx(Logits(network)))
    stored = replace(member, onnx=StoredFile("models/model.onnx", NO_SUM))
    description: Description = replace(bundle.description, members=(stored,))
    bundle = update_bundle(bundle, description, {"models/model.onnx": tmp_path / "graph.onnx"})
    result = Predictor(bundle, Settings("cpu", engine, threads=1)).segment([phantom()[0]])
    assert set(sitk.GetArrayViewFromImage(result.labels).flat) == {2}


def test_converted_networks_are_kept_and_damaged_ones_made_again(
    student_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDSEG_CACHE", str(tmp_path / "cache"))
    made: list[int] = []
    to_openvino = conversion.to_openvino

    def counted(module: torch.nn.Module) -> object:
        made.append(1)
        return to_openvino(module)

    monkeypatch.setattr(conversion, "to_openvino", counted)
    member, batch = student_bundle.description.members[0], batch_of((1, 1, 8, 8, 8))

    def logits() -> np.ndarray:
        opened = open_engine("openvino", student_bundle, member, "cpu", 1)
        return opened.logits(batch, Monitor())

    wanted = logits()
    np.testing.assert_array_equal(logits(), wanted)
    assert len(made) == 1
    [entry] = (tmp_path / "cache").glob("*.openvino")
    content = bytearray(entry.read_bytes())
    for damaged in (content[:-100], content[:10], b"", content[:-1] + b"x"):
        entry.write_bytes(bytes(damaged))
        np.testing.assert_array_equal(logits(), wanted)
    assert len(made) == 5


def test_other_parts_are_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSEG_CACHE", str(tmp_path))
    assert store.kept("a", ("x", "y"), lambda: b"1") == b"1"
    assert store.kept("a", ("x", "y"), lambda: b"2") == b"1"
    assert store.kept("a", ("xy",), lambda: b"3") == b"3"
    assert store.kept("b", ("x", "y"), lambda: b"4") == b"4"


def test_entries_long_unused_go_when_another_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDSEG_CACHE", str(tmp_path))
    store.kept("a", ("old",), lambda: b"1")
    [old] = tmp_path.glob("*.a")
    os.utime(old, (0, 0))
    store.kept("a", ("new",), lambda: b"2")
    assert not old.exists()
    assert len(list(tmp_path.glob("*.a"))) == 1


def test_a_cache_that_cannot_be_written_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KDSEG_CACHE", str(tmp_path / "file"))
    assert store.kept("a", ("x",), lambda: b"1") == b"1"


def test_the_choice_is_told_with_its_reasons(student_bundle: Bundle) -> None:
    choice = choose("cpu", "auto", student_bundle)
    assert choice.engine in ("openvino", "torch")
    assert str(choice).startswith("Running on cpu with ")
    assert "chosen by the user" in str(choice)
    assert choice.reason.count(";") == 1


def test_without_openvino_torch_runs_and_says_why(
    student_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "missing", lambda *names: list(names))
    monkeypatch.setattr(registry.platform, "machine", lambda: "x86_64")
    assert registry.choose_engine("auto", "cpu", student_bundle) == (
        "torch",
        "OpenVINO would be faster, but for it openvino and onnx is missing",
    )


def test_gpus_and_processors_that_were_not_measured_run_torch(
    student_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry.choose_engine("auto", "cuda", student_bundle)[0] == "torch"
    monkeypatch.setattr(registry.platform, "machine", lambda: "arm64")
    engine, why = registry.choose_engine("auto", "cpu", student_bundle)
    assert engine == "torch"
    assert "arm64" in why


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_an_engine_that_is_not_installed_is_asked_for_in_vain(
    engine: str, student_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from KDSegmentationLogic import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda *names: list(names))
    with pytest.raises(
        DependencyError, match=f"Not installed here: {engine}, onnx, torch"
    ) as caught:
        choose("cpu", engine, student_bundle)
    assert f"pip install {engine} onnx torch" in caught.value.remedy


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_an_engine_for_the_cpu_does_not_take_a_gpu_and_is_not_replaced(
    engine: str, student_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "choose_device", lambda _: ("cuda", "a test"))
    with pytest.raises(DeviceError, match="runs on the CPU, not on cuda"):
        choose("cuda", engine, student_bundle)
    assert choose("auto", engine, student_bundle).device == "cpu"


def test_a_network_that_cannot_be_converted_is_refused_by_name(
    student_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("no such operator\nand a page more")

    monkeypatch.setenv("KDSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(conversion, "to_openvino", fails)
    member = student_bundle.description.members[0]
    with pytest.raises(DeviceError, match=r"openvino cannot run .*: no such operator") as caught:
        open_engine("openvino", student_bundle, member, "cpu", 1)
    assert "page" not in str(caught.value)
    assert "torch" in caught.value.remedy


@pytest.mark.parametrize(
    "words",
    [
        "std::bad_alloc",
        "bad allocation",
        "Failed to allocate memory for requested buffer of size 687194767360",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.",
    ],
)
def test_the_engines_words_for_a_lack_of_memory_are_known(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_a_forward_for_which_there_is_no_memory_is_reported_as_such(
    engine: str, engine_of: Callable[[str, torch.nn.Module], Engine]
) -> None:
    opened = engine_of(engine, random_network("student_unet", {"widths": [4]}))
    huge = np.broadcast_to(np.float32(0), (1, 2, 2**20, 2**20, 2**10))
    with pytest.raises(EngineMemoryError):
        opened.logits(huge, Monitor())


def test_layers_may_compute_in_half_precision() -> None:
    """On the CPU, where bfloat16 stands for a GPU's float16; GPUs themselves were never here."""
    network, batch = random_network("student_unet", {"widths": [4, 8]}), batch_of((1, 2, 8, 8, 8))
    exact = TorchEngine(network).probabilities(batch, Monitor())
    rough = TorchEngine(network, half=torch.bfloat16).probabilities(batch, Monitor())
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1


def test_half_precision_that_overflows_is_computed_again_in_full() -> None:
    network, batch = random_network("student_unet", {"widths": [4, 8]}), batch_of((1, 2, 8, 8, 8))
    with torch.no_grad():
        network.classifier.weight.mul_(1e6)  # type: ignore[union-attr, operator]
    exact = TorchEngine(network).logits(batch, Monitor())
    found = TorchEngine(network, half=torch.float16).logits(batch, Monitor())
    assert np.abs(exact).max() > 65504  # float16's largest number
    np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("asked", [False, True])
def test_torch_compiles_only_where_that_is_asked_for(
    asked: bool, student_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's compiler taken for one that does nothing: the true one takes a minute."""
    compile_, made = torch.compile, []

    def counted(module: torch.nn.Module, **options: object) -> object:
        made.append(options)
        return compile_(module, backend="eager", **options)  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "compile", counted)
    image, truth = phantom()
    predictor = Predictor(student_bundle, Settings("cpu", "torch", threads=1, compile=asked))
    labels = predictor.segment([image]).labels
    assert len(made) == asked
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(truth))


def test_a_network_that_was_converted_here_is_run_without_importing_torch(
    student_bundle: Bundle, project_root: Path
) -> None:
    """Which takes seconds and 180 MB, a fifth of what a large volume needs."""
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("needs openvino")
    Predictor(student_bundle, Settings("cpu", "openvino", threads=1))
    code = """
import sys
import SimpleITK as sitk
from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
predictor = Predictor(load_bundle(sys.argv[1]), Settings("cpu", "openvino", threads=1))
predictor.segment([sitk.Image(8, 8, 8, sitk.sitkInt16)])
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(student_bundle.folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project_root, check=False)
    assert done.stdout == "False\n", done.stderr
