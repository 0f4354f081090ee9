"""No generator with a seed reaches privacy noise or keys: the source is searched for one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "fedcausal",
    "privacy/fedcausal_privacy",
    "clients/fedcausal_clients",
    "server/fedcausal_server",
    "simulations/fedcausal_simulations",
)
# Whatever draws from a state that somebody can set again.
SEEDABLE = re.compile(
    r"(np|numpy)\.random\b|random\.\w+|torch\.(manual_seed|Generator|rand\w*|normal|bernoulli"
    r"|multinomial|poisson|empty_like\(.*\)\.\w+_)|scipy\.stats|randomgen|\w+\.(normal_|uniform_)$"
)
# The only uses at the parties that hold rows or keys: bootstraps of a site's own rows. They choose
# what is computed, are no noise and hide nothing.
RESAMPLING = {
    ("clients/fedcausal_clients/site_node.py", "_bootstrap"),
    ("clients/fedcausal_clients/site_node.py", "_generator"),
    ("clients/fedcausal_clients/site_node.py", "simulated_generator"),
    ("clients/fedcausal_clients/local_training.py", "train"),
}
# What noises: functions that take the source of noise as an argument, and all that they are given.
NOISED = {"compute_private", "local_update", "train", "train_private"}
NOISE = {"discrete_gaussian", "noise", "None if training.event is None else SecureNoise()"}


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the outermost function around it ("" outside of any)."""
    for top in tree.body:
        inner = [top] if not isinstance(top, ast.ClassDef) else top.body
        for part in inner:
            name = part.name if isinstance(part, ast.FunctionDef) else ""
            for node in ast.walk(part):
                yield name, node


def is_seedable(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names]
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        imported = [*names, module, *(f"{module}.{name}" for name in names)]
        return any(
            re.fullmatch(r"random|(numpy|np)\.random(\..*)?|randomgen.*", n) for n in imported
        )
    return isinstance(node, ast.Attribute) and SEEDABLE.fullmatch(ast.unparse(node)) is not None


def test_parties_with_rows_or_keys_use_generators_for_resampling_alone():
    found = {
        (path, name)
        for path, tree in modules("privacy/fedcausal_privacy", "clients/fedcausal_clients")
        for name, node in functions(tree)
        if is_seedable(node)
    }
    assert found == RESAMPLING


def test_what_is_handed_over_as_noise_is_one_of_two_sources():
    handed = {
        ast.unparse(keyword.value)
        for _, tree in modules(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in NOISED
        for keyword in node.keywords
        if keyword.arg == "noise"
    }
    # A site notes what it draws: the source is what `noted` is given.
    handed |= {
        ast.unparse(node.args[-1])
        for _, tree in modules(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "noted"
    }
    assert handed == NOISE


def test_noise_that_repeats_itself_is_for_tests():
    for path, tree in modules(*PACKAGES):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "from_key":
                pytest.fail(f"{path}:{node.lineno}: noise from a key that somebody chose")


def test_nothing_that_draws_private_noise_makes_a_generator_of_its_own():
    """A function that is given noise has no other randomness than that."""
    for path, tree in modules(*PACKAGES):
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef):
                continue
            arguments = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
            if "noise" in arguments:
                own = [n.lineno for n in ast.walk(node) if is_generator(n)]
                assert own == [], f"{path}: {node.name} makes a generator beside its noise"


def is_generator(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Call) and is_seedable(node.func)
    return is_call and not ast.unparse(node).startswith("np.random.Generator")


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "from numpy import random",
        "from numpy.random import default_rng",
        "np.random.default_rng(1)",
        "random.gauss(0, 1)",
        "torch.manual_seed(1)",
        "torch.randn(3)",
        "torch.normal(0.0, 1.0)",
        "gradient.normal_()",
    ],
)
def test_the_search_finds_what_it_is_for(source):
    tree = ast.parse(f"def step():\n    {source}\n")
    assert any(is_seedable(node) for _, node in functions(tree))
