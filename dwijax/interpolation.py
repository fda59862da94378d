"""Linear interpolation over the sphere: spherical harmonics with Laplace-Beltrami weight."""

import numpy as np


def sh_interpolation(bvecs_from, bvecs_to, *, order=4, weight=0.006):
    """Matrix that carries DWIs of one shell to other directions.

    Regularised even spherical harmonics (Descoteaux et al. 2007, eq. 15), basis from dipy
    (``real_sh_descoteaux``): ``B_to (BᵀB + weight·L)⁻¹ Bᵀ`` with ``L = diag(l²(l+1)²)``.

    Args:
      bvecs_from: unit directions of the measured DWIs, ``[q, 3]``.
      bvecs_to: unit directions wanted, ``[K, 3]``.
      order: even maximal order l. With ``weight = 0`` it needs at least
        ``(order + 1)(order + 2) / 2`` directions.
      weight: Laplace-Beltrami weight, dimensionless.

    Returns:
      ``[K, q]`` float64; rows sum to 1 to rounding where ``weight`` leaves l = 0 free.
    """
    b_from, degrees = sh_basis(bvecs_from, order)
    b_to, _ = sh_basis(bvecs_to, order)
    laplace_beltrami = np.diag((degrees * (degrees + 1.0)) ** 2)
    normal = b_from.T @ b_from + weight * laplace_beltrami
    return b_to @ np.linalg.solve(normal, b_from.T)


def sh_basis(bvecs, order):
    """``(B [n, c], degrees [c])``: even spherical harmonics at unit directions ``[n, 3]``.

    The real basis of Descoteaux et al. 2007 as dipy has it (``real_sh_descoteaux``).
    """
    from dipy.core.geometry import cart2sphere
    from dipy.reconst.shm import real_sh_descoteaux

    _, theta, phi = cart2sphere(*np.asarray(bvecs, np.float64).T)
    basis, _, degrees = real_sh_descoteaux(order, theta, phi, full_basis=False, legacy=False)
    return basis, degrees
