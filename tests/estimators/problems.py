"""Problems whose codes are all enumerated, and the comparison of a mean with the exact gradient."""

from dataclasses import dataclass

import alarms
import torch
from scipy import stats
from torch import Tensor, nn

from catvae_lib.estimators import Estimator, Objective, exact_gradient, exact_multi_sample
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent

FLOAT = torch.float64


@dataclass(frozen=True)
class Problem:
    """A latent, its logits (1, num_parameters) and a function of its code."""

    latent: Latent
    logits: Tensor
    f: Objective

    def exact_gradient(self, samples: int | None = None) -> Tensor:
        """The gradient of E[f], or of the multi-sample objective, all codes enumerated, (num_parameters,)."""
        if samples is None:
            return exact_gradient(self.latent, self.logits, self.f)[0]
        logits = self.logits.clone().requires_grad_()
        objective = exact_multi_sample(self.latent, logits, self.f, samples)
        return torch.autograd.grad(objective.sum(), logits)[0][0]

    def enumerated_by_hand(self) -> Tensor:
        """The same gradient without the library: q(z) as a product, each code in a loop."""
        logits = self.logits[0].clone().requires_grad_()
        bits = isinstance(self.latent, BernoulliLatent)
        table = torch.stack([1 - logits.sigmoid(), logits.sigmoid()], -1) if bits else None
        table = logits.reshape(self.latent.event_shape).softmax(-1) if table is None else table
        total = torch.zeros((), dtype=FLOAT)
        for index in torch.cartesian_prod(*[torch.arange(table.shape[1])] * table.shape[0]):
            z = index.to(FLOAT) if bits else nn.functional.one_hot(index, table.shape[1]).to(FLOAT)
            total = total + table[torch.arange(len(index)), index].prod() * self.f(z[None])[0]
        return torch.autograd.grad(total, logits)[0]


def neural(inputs: int, seed: int) -> Objective:
    """A random network with one output, as a function of a code."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1)).to(FLOAT).requires_grad_(False)
    return lambda z: 3 * body(z.flatten(-2) if z.shape[-1] != inputs else z).squeeze(-1)


def quadratic(inputs: int, seed: int) -> Objective:
    """A random quadratic form of a code."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.rand(inputs, inputs, generator=generator, dtype=FLOAT) - 0.4

    def f(z: Tensor) -> Tensor:
        flat = z.flatten(-2) if z.shape[-1] != inputs else z
        return torch.linalg.vecdot(flat @ matrix, flat)

    return f


def distance(t: float) -> Objective:
    """Sum of (b - t)^2: the toy problem of the REBAR paper, in three bits."""
    return lambda z: (z - t).square().sum(-1)


def multilinear(z: Tensor) -> Tensor:
    """Products of different bits, or of entries of different variables: linear in each variable."""
    if z.ndim > 1 and z.shape[-2:] == (2, 3):
        first, second = z[..., 0, :], z[..., 1, :]
        return 2 * first[..., 0] * second[..., 1] - first[..., 2] + 0.5 * second[..., 2]
    return 2 * z[..., 0] * z[..., 1] - 3 * z[..., 1] * z[..., 2] + z[..., 0]


BITS, SMALL, LARGE = BernoulliLatent(3), CategoricalLatent(2, 3), CategoricalLatent(4, 8)
BIT_LOGITS = torch.tensor([[0.3, -1.2, 2.0]], dtype=FLOAT)
SMALL_LOGITS = torch.tensor([[0.3, -1.2, 1.0, 0.5, 0.2, -0.4]], dtype=FLOAT)
LARGE_LOGITS = torch.linspace(-1.5, 1.5, 32, dtype=FLOAT).roll(5).reshape(4, 8)[:, [3, 0, 6, 1, 7, 2, 5, 4]]

PROBLEMS = {
    **{f"distance-{t}": Problem(BITS, BIT_LOGITS, distance(t)) for t in (0.2, 0.45, 0.9)},
    "bits-quadratic": Problem(BITS, BIT_LOGITS, quadratic(3, 1)),
    "bits-neural": Problem(BITS, BIT_LOGITS, neural(3, 2)),
    "bits-multilinear": Problem(BITS, BIT_LOGITS, multilinear),
    "small-quadratic": Problem(SMALL, SMALL_LOGITS, quadratic(6, 3)),
    "small-neural": Problem(SMALL, SMALL_LOGITS, neural(6, 4)),
    "small-multilinear": Problem(SMALL, SMALL_LOGITS, multilinear),
    "large-neural": Problem(LARGE, LARGE_LOGITS.reshape(1, 32), neural(32, 5)),  # 4096 codes
}


def kind(problem: Problem) -> str:
    """What the catalogue calls the problem's codes."""
    return "bits" if isinstance(problem.latent, BernoulliLatent) else "categories"


@dataclass(frozen=True)
class Comparison:
    """The mean of many estimates against the exact gradient.

    off is the largest |mean - exact| over the coordinates, in parts of the limit that an estimator without a
    bias exceeds with the probability of tests/alarms.py. A bias of `reach` is found with probability 0.999.
    """

    off: float
    reach: float
    bias: float
    variance: float

    @property
    def rejected(self) -> bool:
        return not self.off <= 1


def estimates(
    problem: Problem, estimator: Estimator, draws: int, n: int, temperature: float = 1.0, seed: int = 0
) -> list[Tensor]:
    """The estimate from each of n draws, in batches (rows, num_parameters): every row is one draw."""
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, min(n, 4_000_000 // (problem.latent.num_features * max(draws, 8))))
    found = []
    for first in range(0, n, rows):
        logits = problem.logits.repeat(min(rows, n - first), 1).requires_grad_()
        noise = problem.latent.noise(logits.detach(), draws, generator=generator)
        surrogate = estimator(problem.latent, logits, noise, problem.f, temperature)
        found.append(torch.autograd.grad(surrogate.sum(), logits)[0])
    return found


def compare(batches: list[Tensor], expected: Tensor) -> Comparison:
    """Compare the mean of estimates with the gradient that it should have."""
    draws = torch.cat(batches)
    mean, variance = draws.mean(0), draws.var(0)
    limit = alarms.empirical(draws) + 1e-12 * (1 + expected.abs())  # there may be no variance at all
    reach = limit + float(stats.norm.isf(1e-3)) * (variance / len(draws)).sqrt()
    off = float(((mean - expected).abs() / limit).max())
    return Comparison(off, float(reach.max()), float((mean - expected).norm()), float(variance.sum()))
