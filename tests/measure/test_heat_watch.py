"""Tests of watching heat and power: a trip in between is found, and a watch that died proves nothing."""

from __future__ import annotations

import threading
import time

import pytest

from fixtures.judge import stability
from fixtures.machine import heat
from fixtures.measure import heat_watch
from fixtures.measure.heat_watch import Watch, watching
from tests.helpers.recorded_boards import BOARDS, path_of
from tests.helpers.recorded_machines import SAMPLES, tree

ORIN = BOARDS["orin-nano"]


@pytest.fixture
def root(tmp_path):
    return tree(tmp_path, ORIN)


def reason(watch):
    return stability.unstable_heat(watch.found)


def wait_for(watch, more=2):
    """Waits until the thread has taken this many more readings."""
    until, before = time.monotonic() + 5, watch.found.readings
    while watch.found.readings < before + more and time.monotonic() < until:
        time.sleep(0.002)


def test_a_calm_board_is_stable_and_its_temperatures_are_kept(root):
    with watching(root, 0.005) as watch:
        wait_for(watch)
    assert reason(watch) is None
    found = watch.found.as_dict()
    assert found["readings"] >= 4 and found["died"] is None and found["hottest_c"]["gpu-thermal"] == 51.0


def test_a_trip_that_is_over_at_the_end_makes_the_row_unstable_and_is_named(root):
    path = root / path_of(ORIN, "gpu-throttle-alert", "cur_state")
    with watching(root, 0.005) as watch:
        path.write_text("1")
        wait_for(watch)
        path.write_text("0")
        wait_for(watch)
    assert reason(watch) == "heat or power: gpu-throttle-alert throttles"


def test_an_overcurrent_event_between_two_readings_is_counted(root):
    counter = root / "sys/class/hwmon/hwmon0/oc3_event_cnt"
    with watching(root, 60) as watch:
        counter.write_text("2\n")
    assert reason(watch) == "heat or power: 2 overcurrent events oc3", "those before the timing do not count"


def test_a_clock_lowered_because_the_gpu_is_idle_is_not_a_reason(root):
    with watching(root, 0.005) as watch:
        (root / "sys/class/devfreq/17000000.gpu/cur_freq").write_text("114750000")
        wait_for(watch)
    assert reason(watch) is None


def test_other_machines_are_not_watched_and_start_no_thread(tmp_path):
    before = threading.active_count()
    with watching(tree(tmp_path, SAMPLES["desktop"])) as watch:
        assert threading.active_count() == before
    assert watch.found is None and reason(watch) is None


def test_a_watch_whose_reading_fails_certifies_nothing(root, monkeypatch):
    readings = []

    def read(sensors):
        readings.append(1)
        if len(readings) == 2:
            raise OSError(121, "Remote I/O error")
        return heat.Heat({}, (), {})

    monkeypatch.setattr(heat, "read", read)
    with watching(root, 0.005) as watch:
        wait_for(watch)
    assert reason(watch) == "heat and power unwatched: OSError: [Errno 121] Remote I/O error"


def test_a_thread_that_stopped_certifies_nothing(root, monkeypatch):
    """Its last reading is too long ago when the block ends."""
    monkeypatch.setattr(heat_watch, "LONGEST_GAP_S", 0.1)
    with watching(root, 3600) as watch:
        time.sleep(0.15)
    assert reason(watch) == "heat and power unwatched: no reading for 0 s"


def test_what_was_seen_before_the_watch_died_is_still_a_reason(root):
    (root / path_of(ORIN, "cpufreq-cpu0", "cur_state")).write_text("3")
    with watching(root, 60) as watch:
        watch._error = "OSError"
    assert reason(watch) == "heat or power: cpufreq-cpu0 throttles"


def test_hours_of_watching_keep_no_more_than_minutes():
    watch = Watch(lambda: heat.Heat({"gpu-thermal": 50.0}, ("gpu-thermal reached its trip of 99 °C",), {"oc1": 1}))
    for _ in range(1000):
        watch.look()
    kept = [value for value in vars(watch).values() if isinstance(value, (dict, list))]
    assert max(map(len, kept)) == 1 and watch.found.readings == 1000
