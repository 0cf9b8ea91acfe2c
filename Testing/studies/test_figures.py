"""The accuracy-time figure: its numbers can be read, however close the arms are."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Annotation

from KDSegmentationLogic.studies.reporting.drawing import canvas
from KDSegmentationLogic.studies.reporting.figures import number_places

near = st.tuples(st.floats(0.005, 0.02), st.floats(0.87, 0.88))


@settings(deadline=None)  # drawing libraries are slow at first
@given(st.lists(near, min_size=1, max_size=25))
def test_no_two_numbers_lie_on_each_other(places: list[tuple[float, float]]) -> None:
    figure = canvas(8, 5)
    axes = figure.add_subplot(xlim=(0.001, 1), ylim=(0.85, 0.89), xscale="log")
    number_places(axes, sorted(places, key=lambda place: -place[1]))

    written = [text for text in axes.texts if isinstance(text, Annotation)]
    assert [text.get_text() for text in written] == [str(n + 1) for n in range(len(places))]
    points = axes.transData.transform([text.xy for text in written]) * 72 / figure.dpi
    points += [text.xyann for text in written]
    size = 8.5  # points, of the digits
    for one, other in combinations(points, 2):
        apart_x, apart_y = abs(one - other)
        assert apart_x >= 1.5 * size or apart_y >= size
