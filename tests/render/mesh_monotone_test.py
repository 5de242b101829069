"""The curve of fixed places is SciPy's monotone one."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from lhg_jax.render.mesh.monotone import MonotoneCurve


@pytest.mark.parametrize("knots", [3, 5, 8])
@pytest.mark.parametrize("seed", range(6))
def test_equals_scipys(knots, seed):
    random = np.random.default_rng(seed)
    x = np.cumsum(random.uniform(0.01, 3, knots))
    places = random.uniform(x[0], x[-1], (7, 11))
    places[0, :2] = x[[0, -1]]
    curve = MonotoneCurve(x, places)
    for kind in range(4):
        values = random.normal(size=knots)
        values = [values, np.sort(values), np.where(values > 0, values, 0.0), np.zeros(knots)][kind]
        np.testing.assert_allclose(curve(values), PchipInterpolator(x, values)(places), atol=3e-6)
