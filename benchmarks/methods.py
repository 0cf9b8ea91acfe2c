"""The programs that the benchmark compares: each from an image file to a label file.

A method is opened once with a bundle and then run on files; ``run`` returns the seconds of its
stages where it knows them. All have the same weights but ``nnunet-31m``, which has a network of
nnU-Net's usual size, with random weights: for times and memory only.

Of an ensemble, MONAI's and ours average probabilities and nnU-Net's logits. nnU-Net's folds have
one architecture; an ensemble of several is given to it as one network.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Method(Protocol):
    """Ready to run, with its network loaded."""

    def run(self, image: Path, labels: Path) -> dict[str, float]: ...


class Ours:
    """``Predictor`` between the reader and the writer of the command line."""

    def __init__(self, bundle: Any, threads: int, engine: str, device: str = "cpu") -> None:
        from KDSegmentationLogic.inference.pipeline import Predictor, Settings

        self._predictor = Predictor(bundle, Settings(device, engine, threads))
        for runner in self._predictor._runners:
            self._time(runner.engine)
        self._network = 0.0
        self.voxels = 0  # of the network's grid, that it looked at in the last run

    def run(self, image: Path, labels: Path) -> dict[str, float]:
        from KDSegmentationLogic.imaging.reading import read_image
        from KDSegmentationLogic.imaging.writing import write_image

        self._network, self.voxels, start = 0.0, 0, time.perf_counter()
        volume = read_image(image)
        read = time.perf_counter()
        result = self._predictor.segment([volume])
        done = time.perf_counter()
        write_image(result.labels, labels)
        written = time.perf_counter() - done
        return {
            "read": read - start,
            **result.seconds,
            "network": self._network,
            "write": written,
        }

    def _time(self, engine: Any) -> None:
        """Also the network alone, without what is restored meanwhile.

        Most engines' ``probabilities`` call ``features``, which then tells the time; torch's not.
        """
        features, probabilities = engine.features, engine.probabilities

        def counted(run: Any, batch: np.ndarray, others: tuple[Any, ...]) -> np.ndarray:
            before, start = self._network, time.perf_counter()
            output = run(batch, *others)
            if self._network == before:
                self._network += time.perf_counter() - start
                self.voxels += batch.size
            return output

        engine.features = lambda batch, *others: counted(features, batch, others)
        engine.probabilities = lambda batch, *others: counted(probabilities, batch, others)


class Monai:
    """MONAI's transforms and ``sliding_window_inference`` (overlap 0.5, Gaussian) in torch.

    The grid is the bundle's, round the image's centre: MONAI's own begins at the first voxel, and
    may have one voxel more, which can cost a row of windows.

    linear : resampling of the image, whatever the bundle asks for; that is what MONAI's users take,
        and faster. Otherwise as the bundle says: for the comparison of labels.
    """

    def __init__(
        self, bundle: Any, threads: int, device: str = "cpu", linear: bool = False
    ) -> None:
        import torch
        from monai import transforms as t

        torch.set_num_threads(threads)
        described = bundle.description
        how, member = described.channels[0].normalisation, described.members[0]
        self._device = device
        self._networks = [network.to(device) for network in _networks(bundle)]
        self._patch, self._overlap = member.patch[::-1], member.overlap
        self._spacing = described.grid.spacing
        if how.method == "fixed":
            normalise = [
                t.ThresholdIntensity(how.clip[1], above=False, cval=how.clip[1]),
                t.ThresholdIntensity(how.clip[0], above=True, cval=how.clip[0]),
                t.NormalizeIntensity(subtrahend=how.mean, divisor=how.std),
            ]
        else:
            normalise = [t.NormalizeIntensity()]
        self._read: Any = t.LoadImage(image_only=True, ensure_channel_first=True)
        self._orient: Any = t.Orientation(described.grid.orientation, labels=None)
        mode = 3 if described.grid.interpolation == "cubic" and not linear else "bilinear"
        self._resample: Any = t.SpatialResample(mode, padding_mode="border")
        self._normalise = t.Compose(normalise)
        self._back = t.SpatialResample("bilinear", padding_mode="border")
        self._discrete = t.AsDiscrete(argmax=True)

    def _to_grid(self, image: Any) -> Any:
        size = np.array(image.shape[1:])
        ratio = np.divide(self._spacing, np.linalg.norm(image.affine[:3, :3], axis=0))
        wanted = np.maximum(1, np.rint(size / ratio)).astype(int)
        shift = np.eye(4)
        shift[:3, :3] = np.diag(ratio)
        shift[:3, 3] = (size - 1) / 2 - (wanted - 1) / 2 * ratio
        return self._resample(image, np.asarray(image.affine) @ shift, wanted.tolist())

    def run(self, image: Path, labels: Path) -> dict[str, float]:
        import torch
        from monai.data import MetaTensor, NibabelWriter
        from monai.inferers import sliding_window_inference
        from monai.transforms import Orientation
        from nibabel import aff2axcodes

        def scores_of(network: Any) -> torch.Tensor:
            def forward(batch: torch.Tensor) -> torch.Tensor:  # our networks' axes are z, y, x
                return network(batch.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)

            return sliding_window_inference(
                prepared[None],
                self._patch,
                1,
                forward,
                self._overlap,
                "gaussian",
                sw_device=self._device,
                device="cpu",
            )[0]

        start = time.perf_counter()
        read = self._read(str(image))
        oriented = self._orient(read)
        prepared = self._normalise(self._to_grid(oriented))
        ready = time.perf_counter()
        with torch.inference_mode():
            scores = scores_of(self._networks[0])
            if len(self._networks) > 1:
                scores = scores.softmax(0)
                for network in self._networks[1:]:
                    scores += scores_of(network).softmax(0)
        predicted = time.perf_counter()
        scores = MetaTensor(torch.as_tensor(scores), affine=prepared.affine)
        found: Any = self._discrete(self._back(scores, oriented.affine, oriented.shape[1:]))
        found = Orientation(aff2axcodes(read.affine), labels=None)(found)
        restored = time.perf_counter()
        writer = NibabelWriter(output_dtype=np.uint8)
        writer.set_data_array(found, channel_dim=0)
        writer.set_metadata(read.meta, resample=False)
        writer.write(str(labels))
        return {
            "preprocess": ready - start,
            "predict": predicted - ready,
            "restore": restored - predicted,
            "write": time.perf_counter() - restored,
        }


class NnUNet:
    """nnU-Net v2's predictor: step 0.5, Gaussian, no mirroring, its default resampling."""

    def __init__(
        self,
        bundle: Any,
        threads: int,
        network: str = "same",
        folds: int = 1,
        device: str = "cpu",
    ) -> None:
        for name in ("raw", "preprocessed", "results"):  # it refuses to be imported without
            os.environ.setdefault(f"nnUNet_{name}", tempfile.gettempdir())
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        torch.set_num_threads(threads)
        described = bundle.description
        plans = PlansManager(_plans(described))
        if network == "same":
            module, weights = _as_folds(_networks(bundle))
        else:
            module = _large_network(described)
            weights = [module.state_dict()] * folds
        self._predictor = nnUNetPredictor(
            use_mirroring=False,
            perform_everything_on_device=False,
            device=torch.device(device),
            allow_tqdm=False,
        )
        names = {"background": 0} | {label.name: label.value for label in described.labels}
        dataset = {"channel_names": {"0": "CT"}, "labels": names, "file_ending": ".nii"}
        self._predictor.manual_initialization(
            module,
            plans,
            plans.get_configuration("3d_fullres"),
            weights,
            dataset,
            "nnUNetTrainer",
            None,
        )

    def run(self, image: Path, labels: Path) -> dict[str, float]:
        start = time.perf_counter()
        self._predictor.predict_from_files_sequential(
            [[str(image)]], [str(labels.with_suffix(""))], False, True
        )
        return {"all": time.perf_counter() - start}


def _plans(described: Any) -> dict[str, Any]:
    """What nnU-Net decides of a data set, here so that its network sees our network's grid."""
    how, member = described.channels[0].normalisation, described.members[0]
    low, high = how.clip or (0, 0)
    scheme = "CTNormalization" if how.method == "fixed" else "ZScoreNormalization"
    keys = ("mean", "std", "percentile_00_5", "percentile_99_5", "median", "min", "max")
    values = (how.mean, how.std, low, high, how.mean, low, high)
    linear = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": "Dataset001_Phantom",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {"0": dict(zip(keys, values, strict=True))},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "none",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(member.patch),
                "spacing": list(described.grid.spacing[::-1]),
                "normalization_schemes": [scheme],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": {**linear, "order": 3},
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_seg_kwargs": {**linear, "is_seg": True},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": linear,
                "architecture": {
                    "network_class_name": "none",
                    "arch_kwargs": {},
                    "_kw_requires_import": [],
                },
                "batch_dice": False,
            }
        },
    }


def _networks(bundle: Any) -> list[Any]:
    """The members as 3-D networks; one of slices averages its views."""
    from KDSegmentationLogic.bundles.weights import load_network

    return [
        _sliced(load_network(bundle, member), member.views)
        if member.views
        else load_network(bundle, member)
        for member in bundle.description.members
    ]


def _sliced(network: Any, views: Any) -> Any:
    from torch import nn

    from KDSegmentationLogic.inference.predict import SLICE_AXIS

    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Any) -> Any:  # [1, c, z, y, x]
            total: Any = 0
            for view in views:
                slices = x[0].movedim(1 + SLICE_AXIS[view], 0)
                scores = self.network(slices).softmax(1)
                total = total + scores.movedim(0, 1 + SLICE_AXIS[view])[None]
            return (total / len(views)).clamp_min(1e-7).log()

    return Sliced().eval()


def _as_folds(networks: list[Any]) -> tuple[Any, list[dict[str, Any]]]:
    """One module and the weights of the folds that it is loaded with in turn."""
    from torch import nn

    if len({tuple(network.state_dict()) for network in networks}) == 1:
        return networks[0], [network.state_dict() for network in networks]

    class Together(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.members = nn.ModuleList(networks)

        def forward(self, x: Any) -> Any:
            mean = sum(member(x).softmax(1) for member in self.members) / len(self.members)
            return mean.clamp_min(1e-7).log()

    module = Together().eval()
    return module, [module.state_dict()]


def _large_network(described: Any) -> Any:
    """nnU-Net's usual 3-D U-Net: 32 to 320 channels, instance norm, 31 M parameters."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from torch import nn

    widths = [32, 64, 128, 256, 320, 320]
    network = PlainConvUNet(
        1, 6, widths, nn.Conv3d, 3, [1, 2, 2, 2, 2, 2], 2, described.classes, 2,
        conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
    )  # fmt: skip
    return network.eval()


METHODS: dict[str, Callable[[Any, int], Method]] = {
    "kdseg (OpenVINO)": lambda bundle, threads: Ours(bundle, threads, "openvino"),
    "kdseg (ONNX Runtime)": lambda bundle, threads: Ours(bundle, threads, "onnxruntime"),
    "kdseg (torch)": lambda bundle, threads: Ours(bundle, threads, "torch"),
    "kdseg (torch, GPU)": lambda bundle, threads: Ours(bundle, threads, "torch", "cuda"),
    "MONAI": lambda bundle, threads: Monai(bundle, threads, linear=True),
    "MONAI, cubic": Monai,
    "MONAI, GPU": lambda bundle, threads: Monai(bundle, threads, "cuda"),
    "nnU-Net": NnUNet,
    "nnU-Net, GPU": lambda bundle, threads: NnUNet(bundle, threads, device="cuda"),
    "nnU-Net, 31 M": lambda bundle, threads: NnUNet(bundle, threads, "large"),
    "nnU-Net, 31 M, 5 folds": lambda bundle, threads: NnUNet(bundle, threads, "large", 5),
}
OTHER_NETWORK = ("nnU-Net, 31 M", "nnU-Net, 31 M, 5 folds")


def possible_methods() -> list[str]:
    """All, those of the GPU where there is one."""
    import torch

    return [name for name in METHODS if "GPU" not in name or torch.cuda.is_available()]
