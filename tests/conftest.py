"""Strict switches for every test: rank promotion, dtype promotion, shape types and warnings are errors."""

import os
from pathlib import Path

# Most of the time goes into compiling, which takes half as long unoptimised. Flags given from outside win.
os.environ["XLA_FLAGS"] = " ".join(
    (
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        os.environ.get("XLA_FLAGS", ""),
    )
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jaxtyping

jaxtyping.install_import_hook(["lhg_jax", "lhg_exporters"], "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LHG_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of recorded inputs and outputs and real clips; tests that need it skip where it is absent."""
    if not (SHARED / "golden").is_dir():
        pytest.skip("needs ../shared (golden recordings, real clips), which is not part of the repository")
    return SHARED


@pytest.fixture
def one_thread():
    """PyTorch on one thread: small networks take ten times as long where threads wait for a busy core."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
