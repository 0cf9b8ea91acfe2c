"""What a run gives out: chosen bundles under names of their own, each naming the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as changed
from pathlib import Path

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.landing import refuse_existing
from KDSegmentationLogic.bundles.monai import Release
from KDSegmentationLogic.bundles.writing import update_bundle
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.bundling import place_of, ready
from KDSegmentationLogic.studies.names import is_plain


def release_bundles(
    folder: RunFolder,
    chosen: Mapping[str, str],
    out: Path,
    release: Release | None = None,
    replace: bool = False,
) -> list[Bundle]:
    """Copy bundles of a run into ``out``; nothing is written where one of them cannot be.

    Parameters
    ----------
    chosen : by the new name's last part, as in ``<bundle>-student``, what the study calls it: an
        ensemble, a run, or an arm, which stands for its best run by validation.
    release : their version; the first one if not given.
    replace : bundles of these names make place.

    Raises
    ------
    UsageError : a new name that is not plain; the study has no such name, or its bundle is not
        there yet.
    BundleError : a folder of that name exists, or a bundle is damaged.
    """
    for new in chosen:
        if not is_plain(new):
            raise UsageError(
                f"{new!r} cannot be part of a model's name.",
                "Take letters, digits, dots, hyphens and underscores.",
            )
    found = {
        f"{folder.study.bundle.name}-{new}": _find(folder, name) for new, name in chosen.items()
    }
    for name in found:
        refuse_existing(out / name, replace)
    return [
        update_bundle(
            bundle,
            changed(
                bundle.description,
                relative=_relative(bundle, found),
                title=_title(bundle, found, folder.study.bundle.name),
            ),
            target=out / name,
            release=release or Release(),
        )
        for name, bundle in found.items()
    ]


def _relative(bundle: Bundle, found: Mapping[str, Bundle]) -> str | None:
    """The new name of the one to compare with: as in the run, or a student given out of it."""
    wanted = bundle.description.relative
    named = (name for name, other in found.items() if other.name == wanted)
    taught = (n for n, other in found.items() if other.description.relative == bundle.name)
    return next(named, None) or next(taught, None)


def _title(bundle: Bundle, found: Mapping[str, Bundle], study: str) -> str:
    """Its own; where another one has the same, with what the study calls it."""
    title = bundle.description.title
    alike = [other for other in found.values() if other.description.title == title]
    return title if len(alike) == 1 else f"{title} ({bundle.name.removeprefix(study + '-')})"


def _find(folder: RunFolder, name: str) -> Bundle:
    study = folder.study
    whole = ready(folder)
    alike = [run for arm in study.students if arm.name == name for run in arm.runs()]
    trained = [run for run in alike if run.name in whole]
    if trained:
        name = folder.best(trained).name
    known = (*study.ensemble_names, *(run.name for run in study.student_runs))
    if name not in known and not alike:
        raise UsageError(
            f"The study has no ensemble or student called {name}.",
            f"Choose from: {', '.join(known)}.",
        )
    place = place_of(folder, name) if name in whole else None
    if place is None or not place.is_dir():
        raise UsageError(
            f"There is no bundle of {name} in {folder.root} yet.",
            "Run the study to the stage bundle, or to its end to have the bundle measured.",
        )
    return load_bundle(place)
