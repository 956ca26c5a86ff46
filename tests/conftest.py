"""The strict world that all tests live in, set before JAX is used."""

import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax  # the flags above are read when JAX starts

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_check_tracer_leaks", True)

# Tests compile many small programs once each: compiling fast matters more than running fast.
jax.config.update("jax_disable_most_optimizations", True)

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))
