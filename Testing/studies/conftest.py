"""What the tests of studies share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def threads_as_before() -> Iterator[None]:
    """A study sets how many threads torch has, for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
