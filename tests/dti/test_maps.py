"""Maps of tensors against numpy and dipy; derivatives at and away from isotropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax import dti
from dwijax.dti.elements import to_matrix
from tests.dti.conftest import random_tensors


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_eigen_is_lapack(x64, dtype):
    tensor = random_tensors(2000).astype(dtype)
    tensor[:10, [0, 2, 5]] = 1.0
    tensor[:10, [1, 3, 4]] = 0.0
    tensor[10:20] *= -1
    evals, evecs = dti.eigen(jnp.asarray(tensor))
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        evals, np.linalg.eigvalsh(to_matrix(tensor.astype(float)))[:, ::-1], atol=3 * tolerance)
    rebuilt = np.einsum("nij,nj,nkj->nik", evecs, evals, evecs)
    np.testing.assert_allclose(rebuilt, to_matrix(tensor), atol=3 * tolerance)


def test_fa_gradient_is_zero_at_isotropy_and_finite_at_zero():
    tensor = jnp.array([[0.7, 0, 0.7, 0, 0, 0.7], [0, 0, 0, 0, 0, 0]], jnp.float32)
    np.testing.assert_array_equal(dti.fractional_anisotropy(tensor), 0)
    gradient = jax.grad(lambda t: dti.fractional_anisotropy(t).sum())(tensor)
    np.testing.assert_array_equal(gradient, 0)
