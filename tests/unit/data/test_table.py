"""The built-in data sets of recipes and of this package are the same."""

from __future__ import annotations

from pipeline.data import cifar10_files
from pipeline.data.fashion_mnist_files import SOURCES
from pipeline.data.statistics import PREPROCESSING, own_preprocessing
from pipeline.data.table import BUILT_IN
from pipeline.recipe.names import DATA_SETS


def test_each_name_that_a_recipe_may_use_has_an_entry() -> None:
    assert tuple(BUILT_IN) == tuple(PREPROCESSING) == DATA_SETS


def test_preprocessing_is_a_built_in_data_sets_own() -> None:
    assert own_preprocessing(dict(SOURCES)) == PREPROCESSING["fashion-mnist"]
    assert own_preprocessing(dict(cifar10_files.SOURCES)) == PREPROCESSING["cifar-10"]
    assert own_preprocessing({cifar10_files.FILE: "0" * 64}) is None
    assert own_preprocessing({}) is None
    assert own_preprocessing({**SOURCES, "t10k-labels-idx1-ubyte": "0" * 64}) is None
