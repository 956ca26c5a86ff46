"""The strict world that all tests live in, set before JAX is used."""

import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

# Tests compile many small programs once each: compiling fast matters more than running fast. The
# older code generator of XLA takes half the time; jaxlib 0.11 and later have only the newer.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    + " --xla_cpu_use_fusion_emitters=false" * version("jaxlib").startswith("0.10.")
)

import jax  # the flags above are read when JAX starts
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)

# To watch for leaked tracers, JAX traces everything anew each time. That takes more than all else
# together, so it is done once, for the laws that hold for every method (see .ci/run).
jax.config.update("jax_check_tracer_leaks", bool(os.environ.get("JAXPLAIN_CHECK_LEAKS")))

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))


@pytest.fixture(scope="module", autouse=True)
def fresh() -> Iterator[None]:
    """Compiled programs take gigabytes in the end, and modules have few in common."""
    yield
    jax.clear_caches()
