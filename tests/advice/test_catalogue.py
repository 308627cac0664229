"""The catalogue of parameters against the libraries that are installed."""

import importlib
import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.advice.catalogue import names
from manyfit.advice.catalogue.names import FAMILIES
from manyfit.space import Choice, Domain, Float

LIBRARIES = [
    "sklearn",
    "xgboost",
    "lightgbm",
    "catboost",
    pytest.param("keras", marks=pytest.mark.soak("tensorflow")),
    "pyspark",
]


def signatures(library):
    """Yield each family of a library with its classes, and the parameters that each takes."""
    pytest.importorskip(library, reason=f"{library} isn't installed")
    for family in FAMILIES:
        if family.library == library:
            module, *_ = family.module.partition(".Model")
            holder = importlib.import_module(module)
            holder = holder.Model if family.module.endswith(".Model") else holder
            for name in family.classes:
                yield family, name, parameters(getattr(holder, name))


def parameters(cls):
    """Return the parameters of a method, or of a class and its bases."""
    if not isinstance(cls, type):
        return dict(inspect.signature(cls).parameters)
    inits = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    return {k: v for init in reversed(inits) for k, v in inspect.signature(init).parameters.items()}


def is_among(value, domain):
    """Return whether a library's default is in a range, or among options."""
    return (
        value in domain.options
        if isinstance(domain, Choice)
        else domain.low <= value <= domain.high
    )


class TestAgainstTheLibraries:
    @pytest.mark.parametrize("library", LIBRARIES)
    def test_each_entry_is_a_parameter(self, library):
        """Each name in the catalogue is a parameter of each class of its family."""
        for family, cls, known in signatures(library):
            mine = [*family.search, *family.more, *family.fixed, *family.speed, *family.problem]
            length = [] if family.length is None else [family.length]
            assert {*mine, *length, *family.aliases.values()} <= {*known}, cls
            assert {*family.needs} <= {*family.search, *family.fixed}, cls

    @pytest.mark.parametrize("library", LIBRARIES)
    def test_each_range_has_the_default(self, library):
        """A range or a list of options has the library's default, unless that means "off"."""
        for family, cls, known in signatures(library):
            for name, domain in {**family.more, **family.search}.items():
                default = known[name].default
                if isinstance(default, int | float) and default not in (0, -1):
                    assert is_among(default, domain), (cls, name)

    def test_aliases_are_xgboosts(self):
        """The other names of XGBoost's parameters are those that its own interface has."""
        xgboost = pytest.importorskip("xgboost")
        rows = xgboost.DMatrix([[0.0], [1.0]], label=[0.0, 1.0])
        family = next(family for family in FAMILIES if family.library == "xgboost")
        given = dict.fromkeys(family.aliases, 0.5) | {"nthread": 1, "validate_parameters": True}
        booster = xgboost.train(given, rows, num_boost_round=1)  # warnings are errors
        config = json.loads(booster.save_config())["learner"]

        params = config["gradient_booster"]["tree_train_param"]
        assert float(params["lambda"]) == float(params["eta"]) == 0.5


def test_a_family_names_each_parameter_once():
    """No parameter is of two kinds in one family."""
    for family in FAMILIES:
        kinds = [*family.search, *family.more, *family.fixed, *family.speed, *family.problem]
        twins = {each for each in kinds if kinds.count(each) > 1}
        assert twins <= {"max_depth", "min_samples_leaf"}, family.classes


def test_classes_are_in_one_family_each():
    """An estimator's class is found in one place."""
    found = [
        (family.library, name, family.module) for family in FAMILIES for name in family.classes
    ]

    assert len(set(found)) == len(found)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "last"),
        [
            ("C", "C"),
            ("clf__max_depth", "max_depth"),
            ("pipe__clf__max_depth", "max_depth"),
            ("model.learning_rate", "learning_rate"),
            ("logisticRegression_2.regParam", "regParam"),
            ("optimizer/lr", "lr"),
            ("__", "__"),
            ("a__", "a__"),
            ("..", ".."),
        ],
    )
    def test_the_last_part(self, name, last):
        """Prefixes of pipelines, stages and nested settings are taken off."""
        assert names.split(name)[1] == last

    @given(st.text(min_size=1))
    def test_any_text_is_a_name(self, name):
        """A name of any characters has a last part and is classified without an error."""
        assert "".join(names.split(name)) == name
        assert names.scale(name) in (None, "factors", "differences")
        assert names.is_seed(name) in (True, False)
        assert names.is_length(name, beside_rate=True) in (True, False)

    @pytest.mark.parametrize("name", ["max_iter", "algorithm", "solver", "units", "batch_size"])
    def test_what_only_some_libraries_mean_by_speed(self, name):
        """A name that is statistical in one library isn't about speed in general."""
        assert not names.is_speed(name)

    def test_a_name_with_two_scales_has_none(self):
        """`gamma` is compared by factors in an SVM, and by differences in XGBoost."""
        assert names.scale("gamma") is None
        assert {domain.log for domain in names.ranges("gamma")} == {True, False}

    def test_other_names_have_the_range_too(self):
        """A library's own name for a parameter has its range."""
        assert set(names.ranges("xgb.eta")) == {Float(0.01, 0.3, log=True)}
        assert all(isinstance(each, Domain) for each in names.ranges("lambda_l2"))
