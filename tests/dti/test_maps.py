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


def test_scalar_maps_are_those_of_dipy(x64):
    import dipy.reconst.dti as dipy_dti

    tensor = random_tensors(300)
    d = to_matrix(tensor)
    evals = np.linalg.eigvalsh(d)[:, ::-1]
    expected = {
        dti.fractional_anisotropy: dipy_dti.fractional_anisotropy(evals),
        dti.mean_diffusivity: dipy_dti.mean_diffusivity(evals),
        dti.axial_diffusivity: dipy_dti.axial_diffusivity(evals),
        dti.radial_diffusivity: dipy_dti.radial_diffusivity(evals),
        dti.linearity: dipy_dti.linearity(evals),
        dti.planarity: dipy_dti.planarity(evals),
        dti.sphericity: dipy_dti.sphericity(evals),
        dti.mode: dipy_dti.mode(d),
        dti.norm: dipy_dti.norm(d),
    }
    for scalar, value in expected.items():
        np.testing.assert_allclose(scalar(jnp.asarray(tensor)), value, atol=1e-10)
    v1 = dti.principal_direction(jnp.asarray(tensor))
    fa = dti.fractional_anisotropy(jnp.asarray(tensor))
    evecs = np.linalg.eigh(d)[1][:, :, ::-1]
    np.testing.assert_allclose(
        dti.color_fa(fa, v1), dipy_dti.color_fa(np.asarray(fa), evecs), atol=1e-10)


def test_conventions_round_trip():
    from dwijax.dti import elements

    tensor = np.arange(6.0)
    named = dict(zip(elements.ELEMENTS, tensor, strict=True))
    for order, names in [
        (elements.MRTRIX_ORDER, "xx yy zz xy xz yz"),
        (elements.FSL_ORDER, "xx xy xz yy yz zz"),
        (elements.DIPY_ORDER, "xx xy yy xz yz zz"),
    ]:
        stored = elements.to_order(tensor, order)
        assert list(stored) == [named[n] for n in names.split()]
        np.testing.assert_array_equal(elements.from_order(stored, order), tensor)
    np.testing.assert_array_equal(elements.from_matrix(to_matrix(tensor)), tensor)
    import dipy.reconst.dti as dipy_dti

    np.testing.assert_array_equal(dipy_dti.lower_triangular(to_matrix(tensor)), tensor)


def test_a_rotated_tensor_has_rotated_directions(x64):
    tensor = jnp.asarray(random_tensors(50))
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    from dwijax.dti.elements import congruence

    moved = dti.principal_direction(congruence(tensor, jnp.asarray(rotation)))
    expected = dti.principal_direction(tensor) @ rotation.T
    np.testing.assert_allclose(np.abs((moved * expected).sum(-1)), 1, atol=1e-12)
