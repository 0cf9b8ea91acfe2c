"""A network that sees some channels only is trained as if there were no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.errors import DatasetError, TrainingError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cases import TrainingCase, read_images
from KDSegmentationLogic.training.cotraining import Learner, train_together
from KDSegmentationLogic.training.layouts.base import CaseFiles
from KDSegmentationLogic.training.trainer import Trained, Trainer
from Testing.training import balls

STILL = balls.schedule(4, batch=2, validate_every=2, augmentation=balls.STILL)


def two_contrasts(count: int, seed: int = 0) -> list[TrainingCase]:
    """Balls that the first channel does not show and the second does."""
    noise = np.random.default_rng(100 + seed)
    made = []
    for case in balls.cases(count, seed):
        blind = noise.normal(0, 1, case.image.shape).astype("f4")
        made.append(replace(case, image=np.concatenate([blind, case.image])))
    return made


def train(checkpoint: Path, cases: list[TrainingCase], sees: tuple[int, ...] = ()) -> Trained:
    trainer = Trainer(balls.member(), STILL, cases, cases, 3, checkpoint, sees=sees)
    return trainer.run(Monitor())


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    return dict(trained.network.state_dict())


def test_the_other_channels_change_nothing(tmp_path: Path) -> None:
    chosen = train(tmp_path / "chosen", two_contrasts(2), sees=(1,))
    alone = train(tmp_path / "alone", balls.cases(2))

    assert all(torch.equal(weights(chosen)[name], w) for name, w in weights(alone).items())
    assert chosen.best_dice == alone.best_dice


def test_another_channel_makes_another_network(tmp_path: Path) -> None:
    first, second = (train(tmp_path / str(sees), two_contrasts(2), sees=(sees,)) for sees in (0, 1))

    assert any(not torch.equal(weights(first)[name], w) for name, w in weights(second).items())


def test_a_checkpoint_of_other_channels_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "state", two_contrasts(2), sees=(1,))

    with pytest.raises(TrainingError, match="another training"):
        train(tmp_path / "state", two_contrasts(2), sees=(0,))


def test_two_that_are_trained_together_may_see_different_channels(tmp_path: Path) -> None:
    how = replace(STILL, losses={"dice": 1.0})
    arguments = {**balls.member().arguments, "in_channels": 2}
    both = balls.member(arguments=arguments)
    taught = replace(STILL, losses={"dice": 1.0, "kl": 1.0})

    teacher, student = train_together(
        Learner(both, how, 1),
        Learner(balls.member(), taught, 2, sees=(1,)),
        two_contrasts(2),
        two_contrasts(2, seed=1),
        tmp_path / "state",
        Monitor(),
    )

    assert (teacher.network.in_channels, student.network.in_channels) == (2, 1)


def test_the_chosen_images_lie_on_the_grid_of_the_first(tmp_path: Path) -> None:
    for name, size in (("a", (6, 6, 6)), ("b", (3, 3, 3))):
        image = sitk.GetImageFromArray(np.zeros(size[::-1], np.int16))
        image.SetSpacing([6 / n for n in size])
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    files = (tmp_path / "a.nrrd", tmp_path / "b.nrrd")

    (image,) = read_images(CaseFiles("case", files, None, chosen=(1,)), Monitor())

    assert image.GetSize() == (6, 6, 6)


def test_a_case_that_lacks_a_chosen_channel_is_named(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4), np.int16)), str(tmp_path / "a.nrrd"))

    with pytest.raises(DatasetError, match=r"case7 has 1 channel\(s\), number 3 is wanted"):
        read_images(CaseFiles("case7", (tmp_path / "a.nrrd",), None, chosen=(2,)), Monitor())
