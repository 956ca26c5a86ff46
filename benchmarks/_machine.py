"""What the measurements were taken on."""

from __future__ import annotations

import datetime
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import jax
import torch

PACKAGES = ("jaxplain", "jax", "jaxlib", "flax", "numpy", "torch", "captum")
VARIABLES = ("XLA_FLAGS", "JAX_PLATFORMS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def same_threads() -> None:
    """Let torch use as many threads as JAX does."""
    torch.set_num_threads(cores())


class Others:
    """How busy other programs keep the cores, from when this is made."""

    def __init__(self) -> None:
        self._start = self._now()

    def share(self) -> float:
        """Their share of the machine so far; NaN where the system does not tell."""
        busy, wall = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, busy / wall / (os.cpu_count() or 1))

    @staticmethod
    def _now() -> tuple[float, float]:
        """Seconds the cores spent on others, and seconds on the clock."""
        return _busy() - time.process_time(), time.perf_counter()


def machine() -> str:
    """A table of the machine, the software and the settings."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    settings = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    facts = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "CPU": _cpu(),
        "cores": str(cores()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES),
        "JAX backend": f"{jax.default_backend()}, {jax.device_count()} device(s)",
        "threads": f"torch {torch.get_num_threads()}, XLA one for each core",
        "malloc": "the system's, one process for both sides",
        "environment": ", ".join(settings) or "nothing set",
        "load when started": f"{os.getloadavg()[0]:.1f}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in facts.items())])


def _busy() -> float:
    """Seconds all cores were busy since the machine was started."""
    file = Path("/proc/stat")
    if not file.exists():
        return float("nan")
    user, nice, system, _idle, _wait, *rest = map(int, file.read_text().split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _cpu() -> str:
    """The model of the CPU, where the system tells."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
