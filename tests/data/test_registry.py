"""Loading by name."""

import pytest

from jnf_jax import options
from jnf_jax.data import DATASETS, load


def test_known_names():
    assert sorted(DATASETS) == [
        "circles_squares",
        "cub",
        "digits",
        "handwriting",
        "mhd",
        "mnist_svhn",
        "polymnist",
        "quadrants",
        "records",
    ]


def test_default_settings_are_good():
    for make_settings, _ in DATASETS.values():
        assert options.faults(make_settings()) == []


def test_unknown_name_lists_the_known_ones():
    told = "`data.name` is 'mnst', expected .*'polymnist'.* Did you mean"
    with pytest.raises(ValueError, match=told):
        load("mnst")


def test_unknown_setting_lists_the_known_ones():
    told = "`data.num_modality` is unknown, .* Did you mean 'num_modalities'"
    with pytest.raises(ValueError, match=told):
        load("digits", num_modality=2)
