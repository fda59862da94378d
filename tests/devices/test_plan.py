"""The plan foresees what the compiler needs, and fits the budget or says so."""

from functools import partialmethod

import jax
import pytest

from configs import he2020, phantom
from dwijax.devices.memory import Costs, make_plan, resident
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.training.build import build
from dwijax.training.compile_plan import compile_plan

COST = Costs(state=3000, gradient=1000, kept=500, passing=100)


@pytest.mark.parametrize("overrides, budget", [
    ({"model.width": 32}, 1.7),
    ({"model.width": 32, "patch": 0}, 1.7),
    ({"model.width": 32, "patch": 0, "loss.fa_weight": 0.1}, 1.7),
    ({"model.width": 16, "model.convolutions": 2}, 1.7),
    ({"model.width": 8, "patch": 0, "batch": 8}, 1.7),
])
def test_foreseen_within_30_percent_of_the_compiler(monkeypatch, overrides, budget):
    # As programs are compiled where nobody asks for quicker compilation (tests/forked.py).
    monkeypatch.setattr(jax.stages.Lowered, "compile", partialmethod(
        jax.stages.Lowered.compile, {"xla_cpu_use_fusion_emitters": True}))
    budget += resident() / 2**30  # what else this process holds
    config = phantom.get_config()
    config.update_from_flattened_dict(overrides | {"memory_gb": budget, "trunk.steps": 0})
    [(name, training, program)] = compile_plan(config, (48, 56, 68))
    plan = training.plan
    assert name == "stack"
    assert plan.total <= budget * 2**30
    work = program.memory_analysis().temp_size_in_bytes
    assert 0.7 < plan.activations / work < 1.3


def plan(budget, **options):
    return make_plan(COST, **{"networks": 12, "slices": 8, "outputs": 50, "data": 0,
                              "coupled": False, "budget": budget} | options)


@pytest.mark.parametrize("backend, coupled, networks", [
    ("gpu", False, 12), ("gpu", True, 12), ("cpu", True, 12), ("cpu", False, 1),
])
def test_all_at_once_where_it_fits_but_singly_in_the_caches_of_a_cpu(
        monkeypatch, backend, coupled, networks):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert plan(10**7, coupled=coupled).pieces == (networks, 8)


@pytest.mark.parametrize("coupled", [False, True])
def test_less_memory_smaller_pieces(monkeypatch, coupled):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    everything = plan(10**7, coupled=coupled)
    sizes = []
    for budget in range(everything.total * 2, 0, -everything.total // 50):
        try:
            found = plan(budget, coupled=coupled)
        except InputError as error:
            assert "memory_gb" in str(error)
            break
        assert found.total <= budget
        assert 12 % found.pieces.networks == 0 and 8 % found.pieces.slices == 0
        sizes.append(found.pieces)
    # Networks that a loss couples stay together as long as they can; others rather do not.
    assert sizes[0] == (12, 8) and len(set(sizes)) > 3
    between = [p for p in sizes if 1 < p.networks * p.slices < 96]
    assert (between[0].networks == 12) == coupled
    assert [p.networks * p.slices for p in sizes] == sorted(
        (p.networks * p.slices for p in sizes), reverse=True)


def test_fewer_than_one_network_on_one_slice_is_refused():
    with pytest.raises(InputError, match="for one network on one slice"):
        plan(10)


def test_the_paper_fits_an_80_gb_device():
    """Traced, not compiled; ``train.py --plan`` compiles it."""
    gtab = GradientTable([1000.0] * 90, direction_set(90))
    training = build(he2020.get_config(), gtab, 6, size=(144, 144), budget=80 * 2**30,
                     data=4 * 1710 * 144 * 144 * 92)
    assert training.plan.total < 80 * 2**30 and jax.device_count() == 1
