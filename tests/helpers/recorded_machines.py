"""Files of machines as they were recorded: Jetsons with JetPack 5.1, 6.2, 7.0 and 7.2, and a desktop."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

USERSPACE = "TARGET_USERSPACE_LIB_DIR=nvidia\nTARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia\n"
PACKAGE = "Status: install ok installed\nArchitecture: arm64\nVersion: {}\nDescription: NVIDIA's\n more\n"
JETPACK = "Package: nvidia-jetpack\n" + PACKAGE
L4T_CORE = "Package: nvidia-l4t-core\n" + PACKAGE
ARM_CPU = "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nBogoMIPS\t: 62.50\n"

# As boards print them; the lines of /etc/nv_tegra_release are whole.
SAMPLES: Dict[str, Dict[str, str]] = {
    "5.1": {
        "etc/nv_tegra_release": "# R35 (release), REVISION: 2.1, GCID: 32413640, BOARD: t186ref, EABI: aarch64, "
        "DATE: Tue Jan 24 23:38:33 UTC 2023\n",
        "etc/os-release": 'NAME="Ubuntu"\nVERSION="20.04.5 LTS (Focal Fossa)"\nPRETTY_NAME="Ubuntu 20.04.5 LTS"\n',
        "var/lib/dpkg/status": L4T_CORE.format("35.2.1-20230124153320") + "\n" + JETPACK.format("5.1-b147"),
        "proc/cpuinfo": ARM_CPU,
        "dev/nvhost-gpu": "",
    },
    "6.2": {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
        "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\n" + USERSPACE,
        "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\n',
        "var/lib/dpkg/status": JETPACK.format("6.2+b77"),
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  "
        "Release Build  (buildbrain@mobile-u64-6336-d8000)  Tue Jan  7 17:35:12 PST 2025\n"
        "GCC version:  collect2: error: ld returned 1 exit status\n",
        "proc/cpuinfo": ARM_CPU,
        "dev/nvgpu/igpu0/ctrl": "",
    },
    "7.0": {
        "etc/nv_tegra_release": "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, "
        "DATE: Fri Aug 22 00:55:42 UTC 2025\n# KERNEL_VARIANT: oot\n" + USERSPACE + "INSTALL_TYPE=\n",
        "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
        "sys/firmware/devicetree/base/compatible": "nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264\0",
        "dev/nvidiactl": "",
        "dev/nvidia0": "",
    },
    "7.2": {
        "etc/nv_tegra_release": "# R39 (release), REVISION: 2.0, GCID: 45755727, BOARD: generic, EABI: aarch64, "
        "DATE: Mon Jun  1 09:28:48 PM UTC 2026\n# KERNEL_VARIANT: oot\n" + USERSPACE,
        "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.4 LTS"\n',
        "var/lib/dpkg/status": JETPACK.format("7.2-b187"),
        "dev/nvmap": "",
    },
    "desktop": {
        "etc/os-release": "PRETTY_NAME='Fedora Linux 42 (Workstation Edition)'\n",
        "var/lib/dpkg/status": JETPACK.format("6.2+b77"),
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  "
        "Wed Apr 29 17:32:45 UTC 2026\n"
        "GCC version:  gcc version 7.5.0 (Ubuntu 7.5.0-3ubuntu1~18.04)\n",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: 12th Gen Intel(R) Core(TM) i5-12400F\n",
        "dev/nvidiactl": "",
        "dev/nvidia3": "",
    },
}


def tree(root: Path, files: Dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
