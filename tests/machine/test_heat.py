"""Tests of heat.py on the trees of several boards: what limits the clocks, and what only looks as if it did."""

from __future__ import annotations

import pytest

from fixtures.machine import heat
from tests.helpers.recorded_boards import BOARDS, path_of
from tests.helpers.recorded_machines import SAMPLES, tree


@pytest.fixture(params=BOARDS)
def board(request, tmp_path):
    """(name, files, root) of each board at rest."""
    files = BOARDS[request.param]
    return request.param, files, tree(tmp_path, files)


def limits(root):
    return heat.read(heat.sensors(root)).limits


def test_a_board_at_rest_is_limited_by_nothing(board):
    """Though its fan turns, its surface is warm, its clock is low, and a fixed sensor reads 100 °C."""
    _, _, root = board
    assert limits(root) == ()
    assert heat.gpu_governor(root) == "nvhost_podgov" and heat.gpu_clock_folder(root) is not None


def test_the_hottest_zone_is_one_that_measures(board):
    name, _, root = board
    expected = {"nano": 41.5, "xavier-nx": 45.5, "orin-nano": 51.9, "agx-orin": 51.9, "thor": 48.5}
    assert heat.hottest_c(root) == expected[name]


HOT = {
    "nano": ("CPU-therm", 97_000, "CPU-therm reached its trip of 97 °C"),
    "xavier-nx": ("GPU-therm", 93_500, "GPU-therm reached its trip of 91.5 °C"),
    "orin-nano": ("gpu-thermal", 99_500, "gpu-thermal reached its trip of 99 °C"),
    "agx-orin": ("soc1-thermal", 104_000, "soc1-thermal reached its trip of 99 °C"),
    "thor": ("cpu-thermal", 109_500, "cpu-thermal reached its trip of 109 °C"),
}


def test_a_passive_trip_is_named(board):
    name, files, root = board
    zone, temperature, expected = HOT[name]
    path = root / path_of(files, zone, "temp")
    path.write_text(f"{temperature}\n")
    assert limits(root) == (expected,)
    path.write_text(f"{temperature - 10_000}\n")
    assert limits(root) == ()


COOLERS = {
    "nano": ("gpu-balanced", "cpu-balanced", "gpu-throttle-alert"),
    "xavier-nx": ("cpu-throttle-alert", "gpu-throttle-alert"),
    "orin-nano": ("cpufreq-cpu4", "devfreq-17000000.gpu", "gpu-throttle-alert", "soc2-throttle-alert"),
    "agx-orin": ("cpufreq-cpu0", "cv1-throttle-alert"),
    "thor": ("devfreq-gpu-gpc-0", "soc012-throttle-alert", "cpufreq-cpu0"),
}


def test_each_cooling_device_that_slows_the_chip_is_named(board):
    name, files, root = board
    for cooler in COOLERS[name]:
        path = root / path_of(files, cooler, "cur_state")
        path.write_text("1\n")
        assert limits(root) == (f"{cooler} throttles",)
        path.write_text("0\n")


def test_neither_a_fan_nor_an_active_trip_slows_the_chip(board):
    _, files, root = board
    for path, text in files.items():
        if text in ("pwm-fan", "hot-surface-alert"):
            (root / path).with_name("cur_state").write_text("4\n")
        if text in ("tj-thermal", "thermal-fan-est"):
            (root / path).with_name("temp").write_text("90000\n")
    assert limits(root) == ()


@pytest.mark.parametrize("name", ["orin-nano", "agx-orin", "thor"])
def test_overcurrent_events_are_counted_since_boot(tmp_path, name):
    counts = heat.read(heat.sensors(tree(tmp_path, BOARDS[name]))).events
    assert counts == ({"oc1": 0, "oc2": 8, "oc3": 813} if name == "thor" else {"oc1": 0, "oc2": 3, "oc3": 0})


@pytest.mark.parametrize(
    "name, alarm, expected",
    [
        ("xavier-nx", "hwmon1/curr1_crit_alarm", "critical current of VDD_IN exceeded"),
        ("orin-nano", "hwmon1/curr2_max_alarm", "warning current of VDD_CPU_GPU_CV exceeded"),
        ("agx-orin", "hwmon2/curr2_crit_alarm", "critical current of VDDQ_VDD2_1V8AO exceeded"),
    ],
)
def test_an_alarm_of_the_power_monitor_names_its_rail(tmp_path, name, alarm, expected):
    root = tree(tmp_path, BOARDS[name])
    (root / "sys/class/hwmon" / alarm).write_text("1\n")
    assert limits(root) == (expected,)


def test_a_sensor_that_is_off_says_nothing(tmp_path):
    files = BOARDS["orin-nano"]
    root = tree(tmp_path, files)
    found = heat.sensors(root)
    assert "cv0-thermal" in [zone for zone, _, _ in found.trips]
    (root / path_of(files, "gpu-thermal", "temp")).unlink()
    (root / path_of(files, "cpufreq-cpu0", "cur_state")).write_text("")
    seen = heat.read(found)
    assert seen.limits == () and not {"cv0-thermal", "gpu-thermal"} & set(seen.temperatures_c)


def test_trips_that_are_not_set_are_none(tmp_path):
    files = BOARDS["thor"]
    root = tree(tmp_path, {**files, path_of(files, "gpu-thermal", "trip_point_0_temp"): "-274000"})
    assert "gpu-thermal" not in [zone for zone, _, _ in heat.sensors(root).trips]


@pytest.mark.parametrize("sample", ["desktop", "6.2"])
def test_other_machines_and_containers_have_nothing_to_watch(tmp_path, sample):
    root = tree(tmp_path, SAMPLES[sample])
    assert heat.sensors(root) is None and heat.hottest_c(root) is None and heat.gpu_governor(root) is None
