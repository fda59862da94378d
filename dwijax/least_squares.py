"""Batched weighted least squares with seven unknowns, one array per matrix element.

The normal matrix of every voxel comes from one matrix product of the weights ``[..., M]`` with the
28 distinct products of design columns ``[M, 28]``, so nothing of size 49 (or even 7) per voxel and
volume exists. Unknowns lie along the first axis: the factorisation is written out over separate
arrays with the voxels contiguous, which vectorises; LAPACK called voxel by voxel does not. Where
there are many more, as of spherical harmonics, the same is a loop.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import lax

_HIGHEST = lax.Precision.HIGHEST
INDEPENDENT = 0.005  # 1/200 like the largest condition number; its square: 200 float32 roundings
# Written out for 15 unknowns a fit takes seconds to compile, and 40 times as long to run where XLA
# fuses its steps and so repeats them for each unknown. (`jnp.linalg.cholesky` of many matrices
# waits for ever where two such programs run at once: CPU, jax 0.10.2.)
_WRITTEN_OUT = 8


def project(rows, samples):
    """``rows [M, k]`` against ``samples [..., M]``: ``[k, ...]``."""
    return jnp.einsum("mk,...m->k...", rows, samples, precision=_HIGHEST)


def expand(rows, parameters):
    """``rows [M, k]`` times ``parameters [k, ...]``: ``[..., M]``."""
    return jnp.einsum("mk,k...->...m", rows, parameters, precision=_HIGHEST)


def column_products(basis):
    """``[M, n(n+1)/2]``: products of columns i >= j, the lower triangle row by row."""
    i, j = np.tril_indices(basis.shape[-1])
    return basis[:, i] * basis[:, j]


def cholesky(matrix, n, least=None):
    """Cholesky factor of symmetric matrices given by their lower triangles.

    Args:
      matrix: ``[n(n+1)/2, ...]``.
      n: number of unknowns.
      least: of the last pivot, ``[...]``.

    Returns:
      ``(factor, ok)``: a dict ``{(i, j): [...]}`` of the lower triangle, the diagonal inverted, and
      a bool ``[...]``: False where a pivot is lost in rounding, or the last is below ``least``.
      There the factor is finite but means nothing.
    """
    a = dict(zip(zip(*np.tril_indices(n), strict=True), matrix, strict=True))
    # A small pivot magnifies the rounding of those after it.
    error = jnp.full(matrix.shape[1:], n * jnp.finfo(matrix.dtype).eps, matrix.dtype)
    lost, ok, factor = error, jnp.ones(matrix.shape[1:], bool), {}
    for j in range(n):
        pivot = a[j, j]
        for k in range(j):
            pivot = pivot - factor[j, k] * factor[j, k]
        smallest = lost * a[j, j]
        if j == n - 1 and least is not None:
            smallest = jnp.maximum(smallest, least)
        positive = pivot > smallest
        ok = ok & positive
        one = jnp.ones_like(pivot)
        pivot = jnp.where(positive, pivot, one)
        lost = jnp.maximum(lost, error * jnp.where(positive, a[j, j], one) / pivot)
        inverse = lax.rsqrt(pivot)
        for i in range(j + 1, n):
            element = a[i, j]
            for k in range(j):
                element = element - factor[i, k] * factor[j, k]
            factor[i, j] = element * inverse
        factor[j, j] = inverse
    return factor, ok


def cholesky_solve(factor, rhs):
    """Solves with a factor of `cholesky`; ``rhs`` and result are ``[n, ...]``."""
    n = rhs.shape[0]
    x = [rhs[i] for i in range(n)]
    for i in range(n):
        for k in range(i):
            x[i] = x[i] - factor[i, k] * x[k]
        x[i] = x[i] * factor[i, i]
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            x[i] = x[i] - factor[k, i] * x[k]
        x[i] = x[i] * factor[i, i]
    return jnp.stack(x)


def _by_columns(matrix, n):
    """``(solve, ok)`` as of `cholesky`, column by column over ``[n, n, ...]``."""
    i, j = np.tril_indices(n)
    place = np.zeros((n, n), int)
    place[i, j] = place[j, i] = np.arange(len(i))
    full, diagonal = matrix[place], matrix[np.diag(place)]
    rows = jnp.arange(n).reshape(-1, *[1] * (matrix.ndim - 1))
    error = jnp.full(matrix.shape[1:], n * jnp.finfo(matrix.dtype).eps, matrix.dtype)

    def factorise(carry, k):
        a, lost = carry
        positive = a[k, k] > lost * diagonal[k]
        pivot = jnp.where(positive, a[k, k], jnp.ones_like(lost))
        largest = jnp.where(positive, diagonal[k], jnp.ones_like(lost))
        inverse = lax.rsqrt(pivot)
        column = jnp.where(rows >= k, a[k] * inverse, jnp.zeros_like(inverse))
        lost = jnp.maximum(lost, error * largest / pivot)
        return (a - column[:, None] * column, lost), (column, inverse, positive)

    _, (columns, inverses, positive) = lax.scan(factorise, (full, error), jnp.arange(n))

    def forward(b, factor):
        k, column, inverse = factor
        y = b[k] * inverse
        return b - column * y, y

    def backward(x, factor):
        k, column, inverse, y = factor
        return x.at[k].set((y - jnp.sum(column * x, axis=0)) * inverse), None

    def solve(b):
        k = jnp.arange(n)
        _, y = lax.scan(forward, b, (k, columns, inverses))
        return lax.scan(backward, jnp.zeros_like(b), (k, columns, inverses, y), reverse=True)[0]

    return solve, jnp.all(positive, axis=0)


def weighted_least_squares(basis, weights, residual, refine=False, triangle=None):
    """``argmin_γ Σ w (residual - basis γ)²`` per voxel, differentiable to any order.

    The derivative is that of the solution of the normal equations (implicit differentiation): the
    factorisation itself is never differentiated, and the backward pass costs two thin products.

    Args:
      basis: ``[M, n]``.
      weights: ``[..., M]``, not negative.
      residual: ``[..., M]``.
      refine: solve once more for what float32 left over (Björck 1987, corrected normal equations).
      triangle: ``[n, n]``, R of the design X = basis R. Its last column, weighted, must then be
        told from the others: a part of `INDEPENDENT` of its norm does not follow from them.

    Returns:
      ``(γ [n, ...], ok [...])``; where the normal matrix is singular to rounding, or the last
      column not independent, ``ok`` is False, γ is 0 and so is its derivative.
    """
    n = basis.shape[-1]
    stopped = lax.stop_gradient(weights)
    products, least = column_products(lax.stop_gradient(basis)), None
    if triangle is not None:
        # The last pivot times Rnn² is the squared norm of what is left of √W times the last column.
        last = lax.stop_gradient(basis @ (triangle[:, -1] * (INDEPENDENT / triangle[-1, -1])))
        products = jnp.concatenate([products, (last * last)[:, None]], axis=1)
    matrix = project(products, stopped)
    if triangle is not None:
        matrix, least = matrix[:-1], matrix[-1]
    if n > _WRITTEN_OUT:
        solution, ok = _by_columns(matrix, n)
    else:
        factor, ok = cholesky(matrix, n, least)
        solution = partial(cholesky_solve, factor)

    def normal(x):
        return jnp.where(ok, project(basis, weights * expand(basis, x)), x)

    def solve(_, b):
        return jnp.where(ok, solution(b), b)

    def gradient_of(residual):
        return jnp.where(ok, project(basis, weights * residual), jnp.zeros((), residual.dtype))

    if not refine:
        return lax.custom_linear_solve(normal, gradient_of(residual), solve, symmetric=True), ok
    first = lax.stop_gradient(solve(None, gradient_of(residual)))
    rest = gradient_of(residual - expand(basis, first))
    return first + lax.custom_linear_solve(normal, rest, solve, symmetric=True), ok
