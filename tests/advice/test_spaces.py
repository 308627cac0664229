"""The project's own spaces: nothing wrong is said of them."""

import ast
import re
from pathlib import Path

import pytest
from benchmarks.search import catalogue

import manyfit
from manyfit import Choice, Float, Int, Space, review

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.py")])
WORDS = {"manyfit": manyfit, "Float": Float, "Int": Int, "Choice": Choice}
# What is right of a benchmark's task: they have everything that people tune.
DESERVED = {
    "svm-phoneme": {"speed-only": ("shrinking",)},
    "boosting-houses": {"early-stopping": ("rounds",)},
    "mlp-satimage": {"early-stopping": ("epochs",)},
    "models-phoneme": {"early-stopping": ("rounds",)},
}
# The guide shows what deserves advice.
MEANT = {"advice.md": ["log-scale", "early-stopping"]}


class Names(ast.NodeTransformer):
    """Turns names that are not Manyfit's into text: `lr.regParam` into `"lr.regParam"`."""

    def visit_Name(self, node):
        return node if node.id in WORDS else ast.Constant(node.id)

    def visit_Attribute(self, node):
        text = ast.unparse(node)
        return node if text.startswith("manyfit.") else ast.Constant(text)

    def visit_Dict(self, node):
        """`SearchCV` takes a list for a `Choice`."""
        self.generic_visit(node)
        node.values = [
            ast.Call(ast.Name("Choice", ast.Load()), [value], [])
            if isinstance(value, ast.List)
            else value
            for value in node.values
        ]
        return node

    def visit_Call(self, node):
        called = ast.unparse(node.func).removeprefix("manyfit.")
        if called in WORDS:
            node = self.generic_visit(node)
            if called == "Choice" and isinstance(node.args[0], ast.Constant):  # a variable
                node.args[0] = ast.List([node.args[0]], ast.Load())
            return node
        return ast.Constant(9) if called == "len" else ast.List([ast.Constant(called)], ast.Load())


def spaces_in(path):
    """Yield the spaces that are written down in a document or a program."""
    text = path.read_text()
    is_text = path.suffix == ".md"
    codes = (
        re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if is_text else [text]
    )
    for code in codes:
        if ">>>" in code:
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Dict) and any(map(is_domain, node.values)):
                tree = ast.fix_missing_locations(ast.Expression(Names().visit(node)))
                yield Space(eval(compile(tree, str(path), "eval"), dict(WORDS)))


def is_domain(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in WORDS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_documents_and_examples_show_is_well_chosen(path):
    """The spaces that users copy deserve no advice."""
    found = [advice.code for each in spaces_in(path) for advice in review(each, metric="val_loss")]

    assert found == MEANT.get(path.name, [])


def test_spaces_are_found():
    """The test above looks at several spaces."""
    assert sum(len(list(spaces_in(path))) for path in DOCUMENTS) >= 8


@pytest.mark.parametrize("name", catalogue.makers())
def test_the_benchmarks_tasks_give_no_false_alarm(name):
    """Spaces on which samplers are compared get no advice that is wrong."""
    space = catalogue.make(name).space
    found = review(space, metric="loss", n_trials=48, parallelism=8)

    assert {each.code: each.params for each in found} == DESERVED.get(name, {})
