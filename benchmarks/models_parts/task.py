"""The questions that every model answers about one case, and how its answers are scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mechanisms import Case, Matrix

__all__ = ["Answers", "Score", "Task", "score", "task_of", "true_means"]

QUARTILES = (0.25, 0.75)
TEST_ROWS = 2000
TRUTH_DRAWS = 10**6


@dataclass(frozen=True)
class Task:
    """Rows to learn from, records to imagine otherwise, and single do()s: (node, value).

    `adjacency[parent, child]`; every model draws `draws` rows for each do().
    """

    rows: Matrix
    test: Matrix
    noise: Matrix
    adjacency: Matrix
    actions: tuple[tuple[int, float], ...]
    draws: int
    epochs: int
    seed: int

    def save(self, path: Path) -> None:
        """Write what a peer needs, without the noise of the test rows."""
        np.savez(
            path,
            rows=self.rows,
            test=self.test,
            adjacency=self.adjacency,
            actions=np.array(self.actions),
            numbers=np.array([self.draws, self.epochs, self.seed]),
        )


@dataclass(frozen=True)
class Answers:
    """Means under each do (num_actions, d), counterfactuals (num_actions, num_test, d), CPU s."""

    means: Matrix
    worlds: Matrix
    cpu: float


@dataclass(frozen=True)
class Score:
    """Errors in standard deviations of the data, averaged over actions and descendants."""

    do: float
    counterfactual: float
    cpu: float


def task_of(case: Case, *, rows: int, draws: int, epochs: int, seed: int) -> Task:
    """do() at the quartiles of every node that has descendants."""
    rng = np.random.default_rng(seed)
    learnt = case.draw(rows, rng)
    noise = rng.standard_normal((TEST_ROWS, case.size))
    adjacency = np.zeros((case.size, case.size))
    for parent, child in case.edges:
        adjacency[parent, child] = 1.0
    actions = tuple(
        (node, float(np.quantile(learnt[:, node], share)))
        for node in range(case.size)
        if case.below(node)
        for share in QUARTILES
    )
    return Task(learnt, case.push(noise), noise, adjacency, actions, draws, epochs, seed)


def true_means(case: Case, task: Task, draws: int = TRUTH_DRAWS) -> Matrix:
    """Means under every do(), from draws that no model sees."""
    noise = np.random.default_rng([task.seed, draws]).standard_normal((draws, case.size))
    return np.array([case.push(noise, {j: v}).mean(axis=0) for j, v in task.actions])


def score(case: Case, task: Task, truth: Matrix, answers: Answers) -> Score:
    """Mean absolute error of do-means; root mean square error of counterfactuals."""
    spread, means, worlds = task.rows.std(axis=0), [], []
    for k, (node, value) in enumerate(task.actions):
        below = case.below(node)
        exact = case.push(task.noise, {node: value})[:, below]
        gap = answers.worlds[k][:, below] - exact
        worlds.extend(np.sqrt(np.mean(gap**2, axis=0)) / spread[below])
        means.extend(np.abs(answers.means[k] - truth[k])[below] / spread[below])
    return Score(float(np.mean(means)), float(np.mean(worlds)), answers.cpu)
