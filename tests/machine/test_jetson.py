"""Tests of jetson.py on recorded samples: releases, with and without their packages, and the power mode."""

from __future__ import annotations

import pytest

from fixtures.machine import jetson
from tests.helpers.recorded_machines import JETPACK, L4T_CORE, SAMPLES, tree


@pytest.mark.parametrize(
    "sample, l4t, jetpack",
    [
        ("5.1", "35.2.1", "5.1"),
        ("6.2", "36.4.3", "6.2"),
        ("7.0", "38.2.0", "7.0"),
        ("7.2", "39.2.0", "7.2"),
        ("desktop", None, None),
    ],
)
def test_releases_of_recorded_machines(tmp_path, sample, l4t, jetpack):
    root = tree(tmp_path, SAMPLES[sample])
    assert jetson.is_jetson(root) == (l4t is not None)
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == (l4t, jetpack)


@pytest.mark.parametrize("sample", ["5.1", "6.2", "7.0", "7.2"])
def test_jetpack_without_its_package_comes_from_the_table(tmp_path, sample):
    files = {name: text for name, text in SAMPLES[sample].items() if name != "var/lib/dpkg/status"}
    assert jetson.jetpack_release(tree(tmp_path, files)) == sample


def test_package_takes_precedence_over_the_table(tmp_path):
    root = tree(
        tmp_path,
        {
            **SAMPLES["6.2"],
            "var/lib/dpkg/status": JETPACK.format("6.2.1+b38"),
        },
    )
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == ("36.4.3", "6.2.1")


@pytest.mark.parametrize("status", ["deinstall ok config-files", "install ok half-installed"])
def test_package_that_was_removed_does_not_count(tmp_path, status):
    packages = (
        f"Package: nvidia-jetpack-dev\nStatus: install ok installed\nVersion: 9.9\n\nPackage: nvidia-jetpack\n"
        f"Status: {status}\nVersion: 5.1.2-b104\n"
    )
    root = tree(tmp_path, {**SAMPLES["6.2"], "var/lib/dpkg/status": packages})
    assert jetson.jetpack_release(root) == "6.2"


def test_container_on_a_jetson_is_detected_by_device_tree_and_package(tmp_path):
    root = tree(
        tmp_path, {"sys/firmware/devicetree/base/compatible": "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0"}
    )
    assert jetson.is_jetson(root) and jetson.l4t_release(root) is None and jetson.jetpack_release(root) is None
    tree(
        root,
        {"var/lib/dpkg/status": L4T_CORE.format("36.4.7-20250918154033")},
    )
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == ("36.4.7", "6.2.1")


@pytest.mark.parametrize(
    "line, l4t, jetpack",
    [
        ("# R99 (release), REVISION: 1.2, GCID: 1", "99.1.2", None),
        ("# R36 (release), REVISION: 5, GCID: 1", "36.5", "6.2.2"),
        ("nothing of the kind", None, None),
    ],
)
def test_unknown_release_keeps_its_l4t(tmp_path, line, l4t, jetpack):
    root = tree(tmp_path, {"etc/nv_tegra_release": line})
    assert (jetson.l4t_release(root), jetson.jetpack_release(root)) == (l4t, jetpack)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("NV Power Mode: MAXN\n0\n", "MAXN"),
        (
            "NV Fan Mode:quiet\nNV Power Mode: MODE_15W_DESKTOP\n7\nNVPM ERROR: failed to read PARAM EMC\n",
            "MODE_15W_DESKTOP",
        ),
        ("NVPM VERB: parsing done\nNVPM VERB: Current mode: NV Power Mode: 25W\n1\n", "25W"),
        ("NV Power Mode: \n0\n", None),
        ("", None),
    ],
)
def test_power_mode(text, expected):
    assert jetson.power_mode(text) == expected
