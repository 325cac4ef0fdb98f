"""Each twin from image file to outputs, in turn with the engine that another run built. Only with --beside-engines."""

from __future__ import annotations

import pytest

from twins.checks import second_build
from twins.measure.latency import FEWEST_BLOCKS


@pytest.mark.asked_for("beside_engines")
def test_end_to_end_beside_base(model, twin, session):
    """Records the blocks of both engines; `python -m twins.compare` judges them."""
    found = second_build.end_to_end_beside(twin, session.settings.beside_engines)
    session.record.add("end_to_end_beside_base", model.name, twin.name, **found)
    assert len(found["twin_blocks_s"]) == len(found["base_blocks_s"]) >= FEWEST_BLOCKS
