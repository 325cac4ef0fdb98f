"""Tests of energy: a counter that steps, sensors in files, and the reason if neither exists."""

from __future__ import annotations

import json

import pytest

from benchmarks.validation.measuring import __main__ as proofs
from benchmarks.validation.measuring.proof import Proof
from benchmarks.validation.measuring.repeats import variation
from fixtures.measure import energy
from fixtures.measure.energy import by_counter, by_sensors, ina_sensors, power_w


class Gpu:
    """Draws 100 W while calls of 10 ms run. Its counter is updated every 0.1 s."""

    now = 0.0

    def clock(self):
        self.now += 1e-6
        return self.now

    def call(self):
        self.now += 0.010

    def read_j(self):
        return 100.0 * int(self.now * 10) / 10


def test_joules_per_call_by_a_counter_that_steps():
    gpu = Gpu()
    assert by_counter(gpu.read_j, gpu.call, gpu.clock) == pytest.approx(1.0, rel=0.01)


def test_a_counter_that_does_not_advance_gives_no_figure():
    gpu = Gpu()
    assert by_counter(lambda: 5.0, gpu.call, gpu.clock) is None
    assert gpu.now < 2.1


def sensors(root, chip, *rails):
    """A power monitor with (rail, mV, mA) on its channels."""
    folder = root / "sys/class/hwmon" / f"hwmon{len(list(root.glob('sys/class/hwmon/*')))}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(chip + "\n")
    for number, (rail, millivolts, milliamperes) in enumerate(rails, start=1):
        (folder / f"in{number}_label").write_text(rail + "\n")
        (folder / f"in{number}_input").write_text(f"{millivolts}\n")
        (folder / f"curr{number}_input").write_text(f"{milliamperes}\n")
    (folder / "in7_label").write_text("sum of shunt voltages\n")
    (folder / "in7_input").write_text("9\n")


def test_the_rail_of_the_whole_board_is_taken_alone(tmp_path):
    sensors(tmp_path, "ina3221", ("VDD_IN", 5000, 2000), ("VDD_CPU_GPU_CV", 5000, 800), ("VDD_SOC", 5000, 400))
    assert [rail for rail, _, _ in ina_sensors(tmp_path)] == ["VDD_IN"]
    assert power_w(ina_sensors(tmp_path)) == pytest.approx(10.0)


def test_without_such_a_rail_all_add_up(tmp_path):
    sensors(tmp_path, "ina3221", ("VDD_GPU_SOC", 20000, 500), ("VDD_CPU_CV", 20000, 100), ("VIN_SYS_5V0", 5000, 400))
    sensors(tmp_path, "ina3221", ("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 20000, 50))
    sensors(tmp_path, "tmp451", ("VDD_IN", 1, 1))
    assert len(ina_sensors(tmp_path)) == 4
    assert power_w(ina_sensors(tmp_path)) == pytest.approx(10 + 2 + 2 + 1)


def test_thors_total_is_its_ina238(tmp_path):
    """That driver has the shunt's voltage as in0, the bus's as in1, and no labels."""
    sensors(tmp_path, "ina3221", ("VDD_GPU", 12000, 2000), ("VDD_CPU_SOC_MSS", 12000, 1000))
    folder = tmp_path / "sys/class/hwmon/hwmon9"
    folder.mkdir()
    for name, text in {"name": "ina238", "in0_input": "3", "in1_input": "20000", "curr1_input": "4000"}.items():
        (folder / name).write_text(text + "\n")
    assert [rail for rail, _, _ in ina_sensors(tmp_path)] == ["VIN"]
    assert power_w(ina_sensors(tmp_path)) == pytest.approx(80.0)


def test_a_sensor_that_cannot_be_read_does_not_count_as_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "MEASURE_S", 0.03)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\n")
    sensors(tmp_path, "ina3221", ("VDD_GPU_SOC", 20000, 500), ("VDD_CPU_CV", 20000, 100))
    (tmp_path / "sys/class/hwmon/hwmon0/in2_input").unlink()
    assert power_w(ina_sensors(tmp_path)) is None
    found = energy.figures(lambda: None, 1, "cuda:0", tmp_path)
    assert found["energy_per_image_j"] is None and found["energy_source"] is None
    assert found["energy_reason"] == "the INA sensors of VDD_GPU_SOC, VDD_CPU_CV could not be read"


def test_joules_per_call_by_sensors(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "MEASURE_S", 0.05)
    sensors(tmp_path, "ina3221", ("VDD_IN", 5000, 2000))
    calls = []
    joules = by_sensors(ina_sensors(tmp_path), lambda: calls.append(1))
    assert 10.0 * 0.05 <= joules * len(calls) < 10.0 * 0.5


def test_an_unmeasured_energy_has_its_reason(tmp_path):
    found = energy.figures(pytest.fail, 1, "cpu")
    assert found == {"energy_per_image_j": None, "energy_source": None,
                     "energy_reason": "CPU energy is not measured"}  # fmt: skip
    assert "INA" in energy.figures(pytest.fail, 1, "cuda:7", tmp_path)["energy_reason"]


def test_a_jetson_divides_by_the_images_of_a_batch(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\n")
    sensors(tmp_path, "ina3221", ("VDD_IN", 5000, 2000))
    monkeypatch.setattr(energy, "by_sensors", lambda found, call: 8.0 if found else None)
    found = energy.figures(lambda: None, 4, "cuda:0", tmp_path)
    assert found == {"energy_per_image_j": 2.0, "energy_source": "ina_sensors", "energy_reason": None}


def test_a_desktop_gpu_is_read_by_nvmls_counter(tmp_path, monkeypatch):
    gpu = Gpu()
    monkeypatch.setattr(energy.nvml, "energy_j", lambda run_device: gpu.read_j())
    monkeypatch.setattr(energy, "by_counter", lambda read_j, call: by_counter(read_j, call, gpu.clock))
    found = energy.figures(gpu.call, 4, "cuda:0", tmp_path)
    assert found["energy_per_image_j"] == pytest.approx(0.25, rel=0.01)
    assert (found["energy_source"], found["energy_reason"]) == ("nvml_total_energy", None)
    monkeypatch.setattr(energy.nvml, "energy_j", lambda run_device: 5.0)
    assert energy.figures(gpu.call, 4, "cuda:0", tmp_path)["energy_reason"] == "NVML's energy counter does not move"


class Steady:
    """A proof that holds, and one that does not."""

    @staticmethod
    def prove(run_device):
        return [Proof("a", True, "1", "2", {"bytes": 1}), Proof("b", run_device != "cpu", "3", "2")]


class Broken:
    """A proof that fails to run."""

    @staticmethod
    def prove(run_device):
        raise OSError("no such library")


def test_a_broken_proof_is_printed_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(proofs, "PROOFS", {"broken": Broken, "steady": Steady})
    assert proofs.main(["cpu", "--only", "broken,steady", "--json", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "OSError: no such library" in printed and "held     a: 1" in printed and "NOT HELD b: 3" in printed
    (document,) = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert document["proofs"][0] == {"name": "a", "ok": True, "got": "1", "bytes": 1}


def test_variation_is_relative():
    assert variation([9.0, 10.0, 11.0]) == pytest.approx(0.1)
