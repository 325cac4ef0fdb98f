"""Thermal zones, cooling devices, power monitors and GPU clocks of Jetsons, laid out as their kernels do.

Names of zones, cooling devices and files come from public listings of these boards; temperatures are made up where a
listing had none. BOARDS holds boards at rest; tests change single files of them.
"""

from __future__ import annotations

from typing import Dict, Sequence, Tuple

THERMAL, HWMON = "sys/class/thermal", "sys/class/hwmon"
JETSON = {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n"}


def zones(*named: Tuple[str, int, Sequence[Tuple[str, int]]]) -> Dict[str, str]:
    """(type, m°C, trips as (type, m°C)) of each zone."""
    files = {}
    for number, (name, temperature, trips) in enumerate(named):
        folder = f"{THERMAL}/thermal_zone{number}"
        files.update({f"{folder}/type": name, f"{folder}/temp": str(temperature)})
        for trip, (kind, limit) in enumerate(trips):
            files.update({f"{folder}/trip_point_{trip}_type": kind, f"{folder}/trip_point_{trip}_temp": str(limit)})
    return files


def coolers(*named: Tuple[str, int, int]) -> Dict[str, str]:
    """(type, state, highest state) of each cooling device."""
    files = {}
    for number, (name, state, highest) in enumerate(named):
        folder = f"{THERMAL}/cooling_device{number}"
        files.update({f"{folder}/type": name, f"{folder}/cur_state": str(state), f"{folder}/max_state": str(highest)})
    return files


def ina3221(number: int, *rails: str) -> Dict[str, str]:
    """A power monitor without an alarm."""
    folder = f"{HWMON}/hwmon{number}"
    files = {f"{folder}/name": "ina3221"}
    for channel, rail in enumerate(rails, 1):
        files[f"{folder}/in{channel}_label"] = rail
        files.update({f"{folder}/curr{channel}_{alarm}_alarm": "0" for alarm in ("crit", "max")})
    return files


def overcurrent(number: int, *counts: int) -> Dict[str, str]:
    """The counters of SOCTHERM's overcurrent events oc1, oc2 …"""
    folder = f"{HWMON}/hwmon{number}"
    events = {f"{folder}/oc{event}_event_cnt": str(count) for event, count in enumerate(counts, 1)}
    return {f"{folder}/name": "soctherm_oc", **events}


def clock(folder: str, hz: int, governor: str) -> Dict[str, str]:
    """The GPU's clock."""
    return {f"sys/class/devfreq/{folder}/cur_freq": str(hz), f"sys/class/devfreq/{folder}/governor": governor}


_ORIN_ALERTS = [
    (f"{part}-throttle-alert", 0, 2) for part in ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2")
]
_ORIN_ZONES = [
    (f"{part}-thermal", 51_000, [("passive", 99_000), ("critical", 104_500)]) for part in ("cpu", "gpu", "soc0", "soc1")
]
_ORIN = {
    **JETSON,
    # The vision cores have no temperature while they are off.
    **zones(
        *_ORIN_ZONES,
        ("cv0-thermal", -256_000, [("passive", 99_000)]),
        ("tj-thermal", 51_900, [("active", 40_000), ("active", 85_000), ("critical", 105_000)]),
    ),
    **coolers(
        ("pwm-fan", 1, 3),
        ("cpufreq-cpu0", 0, 22),
        ("cpufreq-cpu4", 0, 22),
        ("devfreq-17000000.gpu", 0, 10),
        *_ORIN_ALERTS,
        ("hot-surface-alert", 1, 1),
    ),
    **overcurrent(0, 0, 3, 0),
    **clock("17000000.gpu", 306_000_000, "nvhost_podgov"),
}
BOARDS: Dict[str, Dict[str, str]] = {
    # JetPack 4 and its successors by others: the PMIC's zone reads 100 °C for ever.
    "nano": {
        "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref\n",
        **zones(
            ("AO-therm", 41_500, [("critical", 100_000)]),
            ("CPU-therm", 34_000, [("passive", 97_000), ("critical", 102_500)]),
            ("GPU-therm", 31_000, [("passive", 97_500), ("critical", 103_000)]),
            ("PLL-therm", 31_500, [("critical", 103_000)]),
            ("PMIC-Die", 100_000, [("passive", 100_000), ("critical", 120_000)]),
            ("thermal-fan-est", 33_000, [("active", 51_000), ("active", 61_000)]),
        ),
        **coolers(("pwm-fan", 2, 4), ("cpu-balanced", 0, 20), ("gpu-balanced", 0, 20), ("gpu-throttle-alert", 0, 2)),
        **clock("57000000.gpu", 76_800_000, "nvhost_podgov"),
    },
    "xavier-nx": {
        "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref\n",
        **zones(
            ("CPU-therm", 45_500, [("passive", 90_000), ("critical", 96_500)]),
            ("GPU-therm", 44_500, [("passive", 91_500), ("critical", 97_500)]),
            ("AUX-therm", 44_000, [("critical", 97_500)]),
            ("PMIC-Die", 100_000, [("critical", 120_000)]),
        ),
        **coolers(("pwm-fan", 0, 10), ("cpu-throttle-alert", 0, 1), ("gpu-throttle-alert", 0, 1)),
        **ina3221(1, "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
        **clock("17000000.gv11b", 114_750_000, "nvhost_podgov"),
    },
    "orin-nano": {**_ORIN, **ina3221(1, "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")},
    "agx-orin": {
        **_ORIN,
        **ina3221(1, "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
        **ina3221(2, "NC", "VDDQ_VDD2_1V8AO", "NC"),
    },
    "thor": {
        "etc/nv_tegra_release": "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic\n",
        **zones(
            ("cpu-thermal", 48_000, [("passive", 109_000), ("critical", 114_500)]),
            ("gpu-thermal", 47_500, [("passive", 109_000), ("critical", 114_500)]),
            ("tj-thermal", 48_500, [("active", 60_000), ("critical", 114_500)]),
        ),
        **coolers(
            ("cpufreq-cpu0", 0, 48),
            ("pwm-fan", 1, 4),
            ("cpu-throttle-alert", 0, 2),
            ("gpu-throttle-alert", 0, 2),
            ("soc012-throttle-alert", 0, 2),
            ("devfreq-gpu-gpc-0", 0, 169),
        ),
        **ina3221(1, "VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
        **overcurrent(2, 0, 8, 813),
        **clock("gpu-gpc-0", 315_000_000, "nvhost_podgov"),
    },
}


def path_of(files: Dict[str, str], content: str, name: str) -> str:
    """The file `name` in the folder of the file with this content: `path_of(board, "gpu-thermal", "temp")`."""
    (found,) = [path for path, text in files.items() if text == content and path.endswith(("type", "_label"))]
    return f"{found.rpartition('/')[0]}/{name}"
