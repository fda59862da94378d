"""The simulated subjects of this room."""

import pytest

from dwijax.data.phantom import simulate


@pytest.fixture(scope="package")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map phantom")
    simulate(folder, subjects=3, progress=False, workers=1, shape=(24, 28, 6), voxel_size=5.0,
             n_directions=12, b0s=2, seed=3)
    return folder
