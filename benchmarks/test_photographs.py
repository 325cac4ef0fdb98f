"""The images themselves: one that cannot be read or preprocessed is left out of every check, and fails here by name."""

from __future__ import annotations

import pytest


def test_photographs(model, session):
    """Every image can be read, decoded and preprocessed."""
    assert model.image_names
    unreadable = [f"{name}: {reason}" for name, reason in session.unreadable.items()]
    if unreadable:
        pytest.fail("\n".join([*unreadable, "The other images were judged. Repair or remove these."]), pytrace=False)
