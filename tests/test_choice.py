"""Choice: options of any kind, their labels, weights, branches, and mistakes."""

import enum
import functools
import json
import math

import numpy as np
import pytest

from manyfit.choice import Choice, from_json, to_json
from manyfit.domain import Float, Int
from manyfit.errors import SpaceError
from manyfit.space import Space


class Color(enum.Enum):
    RED = 1


class Plain:
    pass


def halve(x):
    return x / 2


class TestLabels:
    @pytest.mark.parametrize("option", [None, True, 0, 1.5, -(10**30), "", "größer"])
    def test_json_scalars_are_their_own(self, option):
        """None, truth values, numbers and texts are recorded as they are, with their type."""
        choice = Choice([option, "other"])

        assert repr(choice.labels[0]) == repr(option)
        assert choice.option(choice.labels[0]) is option

    @pytest.mark.parametrize(
        ("option", "label"),
        [
            ((64, 64), "(64, 64)"),
            ([64], "[64]"),
            ({"a": 1}, "{'a': 1}"),
            (math.inf, "inf"),
            (math.nan, "nan"),
            (Color.RED, "<Color.RED: 1>"),
            ({"b", "a", "c"}, "{'a', 'b', 'c'}"),
            (max, "builtins.max"),
            (halve, f"{__name__}.halve"),
            (Plain, f"{__name__}.Plain"),
            (np.float64, "numpy.float64"),
        ],
    )
    def test_other_options_get_a_text(self, option, label):
        """Functions and classes by their qualified name, the rest by its repr."""
        choice = Choice(["x", option])

        assert choice.labels == ("x", label)
        assert [choice.option(label)] == [option]
        assert choice.store("p", option) == label
        assert choice.store("p", label) == label

    @pytest.mark.parametrize("option", [Plain(), functools.partial(halve, 1), [Plain()], object()])
    def test_a_memory_address_is_no_label(self, option):
        """An option whose repr differs from process to process is refused, with what to do."""
        with pytest.raises(SpaceError, match="memory address"):
            Choice([option, 1])

    def test_options_of_one_label_cannot_be_told_apart(self):
        """Two options with the same label are an error, equal options or not."""
        for options in (["a", "a"], [1, 1], [(1, 2), "(1, 2)"], [lambda: 1, lambda: 2]):
            with pytest.raises(SpaceError, match="that can't be told apart"):
                Choice(options)

    def test_true_is_not_one(self):
        """True, 1, 1.0 and '1' are four options."""
        choice = Choice([True, 1, 1.0, "1"])

        for option in (True, 1, 1.0, "1"):
            assert repr(choice.option(choice.store("x", option))) == repr(option)
            assert repr(choice.decode(choice.encode(option))) == repr(option)


class TestChoice:
    def test_stores_numbers_by_value(self):
        """A number that became a float in a table is still found; a truth value is no number."""
        assert repr(Choice([16, 32]).store("x", 32.0)) == "32"
        assert repr(Choice([0.5, 1.0]).store("x", np.float32(0.5))) == "0.5"
        for value in (True, 32.5, "32"):
            with pytest.raises(SpaceError, match="x must be one of 1, 32, but got"):
                Choice([1, 32]).store("x", value)

    def test_refuses_what_has_no_label(self):
        """An object that is no option is refused under the param's name."""
        with pytest.raises(SpaceError, match="x must be one of 1, 2, but got <object"):
            Choice([1, 2]).store("x", object())

    def test_does_not_contain_options_but_labels(self):
        """The stored form is the label, whatever odd thing is asked for."""
        choice = Choice([(1, 2), "a"])

        assert choice.contains("(1, 2)")
        for value in ((1, 2), [1], {}, None, math.nan, "b"):
            assert not choice.contains(value)

    def test_takes_any_ordered_collection(self):
        """Options may come as a list, tuple, range, array or iterator."""
        for options in ((1, 2), range(1, 3), np.array([1, 2]), iter([1, 2]), {1: 0, 2: 0}.keys()):
            assert Choice(options) == Choice([1, 2])

    def test_a_list_changed_later_changes_nothing(self):
        """The options are fixed when the Choice is made."""
        options = [1, 2]
        choice = Choice(options)
        options.append(3)

        assert choice.labels == (1, 2)

    def test_weights_are_shares(self):
        """Options are decoded as often as their weights say."""
        choice = Choice(["a", "b", "c"], weights=[1, 2, 1])
        drawn = [choice.decode((i + 0.5) / 400) for i in range(400)]

        assert [drawn.count(name) for name in "abc"] == [100, 200, 100]
        assert choice.decode(1.0) == "c"

    def test_repr_and_equality(self):
        """The repr is code for an equal Choice; weights, branches and types count."""
        choices = [
            Choice([1, "a", None]),
            Choice([True, "a", None]),
            Choice([1, "a", None], weights=[1, 2, 1]),
            Choice({"a": {"x": Int(1, 2), "k": 3}, "b": {}}),
            Choice({"a": {"x": Int(1, 3), "k": 3}, "b": {}}),
        ]
        for choice in choices:
            assert eval(repr(choice)) == choice
        assert len(set(choices)) == len(choices)
        assert Choice([1]) != [1]

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Choice([]), "Choice([]) needs at least one option"),
            (lambda: Choice({}), "Choice({}) needs at least one option"),
            (
                lambda: Choice("abc"),
                "Choice needs a list of options, or a mapping of branches, but got",
            ),
            (
                lambda: Choice({"a", "b"}),
                "Choice needs a list of options, or a mapping of branches",
            ),
            (
                lambda: Choice(3),
                "Choice needs a list of options, or a mapping of branches, but got 3",
            ),
            (
                lambda: Choice([Int(1, 2)]),
                "an option of a Choice can't hold a Float, Int or Choice",
            ),
            (lambda: Choice([{"C": Float(0, 1)}]), "Give branches by name: Choice({"),
            (lambda: Choice({"a": 1, "b": 2}), "For plain options give a list: Choice(['a', 'b'])"),
            (
                lambda: Choice({"a": {}, "b": 2}),
                "names branches, each a mapping of params, but 'b' is 2",
            ),
            (
                lambda: Choice({"a": Int(1, 2)}),
                "names branches, each a mapping of params, but 'a' is Int",
            ),
            (lambda: Choice({(1,): {}}), "a number, a bool or None, but got (1,)"),
            (lambda: Choice({"": {}}), "a number, a bool or None, but got ''"),
            (
                lambda: Choice({"a": {"": 1}}),
                "a name in branch 'a' must be a non-empty string",
            ),
            (
                lambda: Choice([1, 2], weights=0.5),
                "weights must be a list of numbers, but got 0.5",
            ),
            (
                lambda: Choice([1, 2], weights=[1]),
                "a Choice of 2 options needs 2 weights, but got 1",
            ),
            (
                lambda: Choice([1, 2], weights=[1, 0]),
                "weights must be positive numbers, each at least",
            ),
            (
                lambda: Choice([1, 2], weights=[1, -1]),
                "but got [1, -1]. Leave out an option that must",
            ),
            (lambda: Choice([1, 2], weights=[0, 0]), "weights must be positive numbers"),
            (lambda: Choice([1, 2], weights=[1, math.nan]), "weights must be positive numbers"),
            (lambda: Choice([1, 2], weights=[1, math.inf]), "weights must be positive numbers"),
            (lambda: Choice([1, 2], weights=[1, "2"]), "weights must be positive numbers"),
            (lambda: Choice([1, 2], weights=[1, 1e-9]), "weights must be positive numbers"),
        ],
    )
    def test_mistakes(self, make, message):
        """The message says which rule is broken and shows the right form."""
        with pytest.raises(SpaceError) as caught:
            make()
        assert message in str(caught.value)


class TestBranches:
    CHOICE = Choice({"svm": {"C": Int(1, 3), "k": 5}, "mean": {}, "tree": {"depth": Float(0, 1)}})

    def test_the_names_are_the_options(self):
        """A branch is recorded, and handed to the objective, by its name."""
        assert self.CHOICE.labels == ("svm", "mean", "tree")
        assert self.CHOICE.option("svm") == "svm"
        assert self.CHOICE.store("model", "mean") == "mean"

    def test_what_a_branch_holds(self):
        """A branch is looked up by name; nothing is in what is no branch."""
        assert dict(self.CHOICE.branch("svm")) == {"C": Int(1, 3), "k": 5}
        for name in ("mean", "forest", None, ["svm"]):
            assert dict(self.CHOICE.branch(name)) == {}
        assert dict(Choice([1, 2]).branch("svm")) == {}

    def test_names_that_are_no_strings(self):
        """None, bools and numbers keep their types, in the space and on record."""
        depth, choice = Int(1, 9), Choice({None: {}, True: {"depth": Int(1, 9)}, 2: {}, "2": {}})
        again = from_json(json.loads(json.dumps(to_json("c", choice))))

        assert again == choice
        assert again.labels == (None, True, 2, "2")
        assert again.branch(True) == {"depth": depth}
        assert again.branch(1) == {}
        space = Space({"c": choice})
        assert space.store({"depth": 3}, np.random.default_rng(0)) == {"c": True, "depth": 3}
        assert "Choice of the branches None, True, 2, 2" in Space({}).difference(space)[0]

    def test_sizes(self):
        """Configurations of all branches are counted, if each is finite."""
        assert self.CHOICE.size is None
        assert Choice({"svm": {"C": Int(1, 3), "k": 5}, "mean": {}}).size == 4
        assert Choice(["a", "b"]).size == 2
