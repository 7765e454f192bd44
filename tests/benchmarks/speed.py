"""What `make bench` prints: how fast the library trains and evaluates, as ratios within one interleaved run.

python tests/benchmarks/speed.py step     the step against the plain loop and against bare matrix products
python tests/benchmarks/speed.py equal    whether the fastest setting ends at the same test bound
python tests/benchmarks/speed.py bound    the 1000-sample bound of all test digits
"""

import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from plain import BATCH, SIZES, TEMPERATURE, steps, steps_with_loader
from scipy import stats
from torch import Tensor

from catvae_lib import _validate, data, network
from catvae_lib._loop import batch, shuffled
from catvae_lib._precision import has_bfloat16
from catvae_lib._step import EagerStep, Moments, PureStep, told, trained
from catvae_lib.latent import BernoulliLatent
from catvae_lib.training import TemperatureSchedule, TrainConfig, fit
from catvae_lib.vae import VAE

ROUNDS, STEPS_A_ROUND = 60, 4
CONFIG = TrainConfig(epochs=2, learning_rate=1e-3, temperature=TemperatureSchedule.constant(TEMPERATURE))


def model(seed: int = 0) -> VAE:
    """784-512-256-200-256-512-784, ReLU."""
    torch.manual_seed(seed)
    encoder = network.mlp(SIZES[0], SIZES[1:3], SIZES[3], activation="relu")
    decoder = network.mlp(SIZES[3], SIZES[4:6], SIZES[6], activation="relu")
    return VAE(encoder, BernoulliLatent(SIZES[3]), decoder)


def products(dtype: torch.dtype) -> Iterator[None]:
    """The matrix products of one step and nothing else; all results are kept, as a step must."""
    weights = [torch.randn(o, i).to(dtype) for i, o in pairwise(SIZES)]
    activations = [torch.randn(BATCH, size).to(dtype) for size in SIZES]
    while True:
        kept = [torch.mm(x, w.t()) for x, w in zip(activations, weights, strict=False)]
        for layer, (x, w) in reversed(list(enumerate(zip(activations, weights, strict=False)))):
            kept.append(torch.mm(activations[layer + 1].t(), x))
            if layer > 0:  # the images need no gradient
                kept.append(torch.mm(activations[layer + 1], w))
        yield


def library(digits: data.Dataset, dtype: torch.dtype, compiled: bool) -> Iterator[None]:
    """What `fit` does in a step."""
    vae, generator = model(), torch.Generator().manual_seed(0)
    moments = Moments.zero(trained(vae))
    weights = {name: weight.detach() for name, weight in trained(vae).items()}
    take: EagerStep | PureStep = EagerStep(vae, CONFIG, dtype, moments, 0)
    if compiled:
        take = PureStep(vae, CONFIG, dtype, weights, moments, compiled=True)
    order = shuffled(digits.train.images, 0, 0)
    per_epoch = len(order) // BATCH
    numbers: list[list[float]] | Tensor = told(CONFIG, range(per_epoch), 2 * per_epoch)
    numbers = torch.tensor(numbers) if compiled else numbers
    record = torch.zeros(per_epoch, 2)
    while True:
        for row in range(per_epoch):
            with _validate.trusted():
                x, target = batch(digits, order[row * BATCH : (row + 1) * BATCH], generator)
                noise = vae.noise(x, generator=generator)
            record[row] = take(x, target, noise, numbers[row])
            yield


def timed(runs: dict[str, Iterator[None]], threads: int) -> dict[str, float]:
    """Median milliseconds of a step of each, one after another in turn."""
    torch.set_num_threads(threads)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            next(run)  # brings its own tensors back into the cache
            since = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                next(run)
            found[name].append((time.perf_counter() - since) / STEPS_A_ROUND * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def step() -> None:
    """Print the table of step times."""
    digits = data.load()
    low = torch.bfloat16
    print(f"bfloat16 instructions: {'yes' if has_bfloat16(torch.device('cpu')) else 'no'}")
    for threads in (1, 2):
        torch.set_num_threads(threads)  # before compiling, which fixes it
        runs = {
            "matrix products, float32": products(torch.float32),
            "matrix products, bfloat16": products(low),
            "plain loop with DataLoader": steps_with_loader(digits.train.images),
            "plain loop": steps(digits.train.images),
            "fit, float32": library(digits, torch.float32, False),
            "fit, float32, compiled": library(digits, torch.float32, True),
            "fit, bfloat16": library(digits, low, False),
            "fit, bfloat16, compiled": library(digits, low, True),
        }
        for run in runs.values():  # compile, allocate
            for _ in range(5):
                next(run)
        found = timed(runs, threads)
        floor, plain = found["matrix products, float32"], found["plain loop"]
        print(f"\n{threads} thread{'s' * (threads > 1)}: ms a step, / float32 products, / plain loop")
        for name, time_of_step in found.items():
            print(f"{name:28s} {time_of_step:6.2f} {time_of_step / floor:6.2f} {time_of_step / plain:6.2f}")


def equal(seeds: int = 20) -> None:
    """Train pairs from the same weights on the same noise, and compare their 100-sample test bounds."""
    digits, differences = data.load(), []
    torch.set_num_threads(1)
    for seed in range(seeds):
        scores = {}
        for precision in ("float32", "bfloat16"):
            vae = model(seed)
            fit(vae, digits, replace(CONFIG, seed=seed, precision=precision, track_samples=1))
            generator = torch.Generator().manual_seed(seed)
            test = digits.test.images[:2000]
            scores[precision] = -vae.bound(test, 100, generator=generator).mean().item()
        differences.append(scores["bfloat16"] - scores["float32"])
        print(
            f"seed {seed}: float32 {scores['float32']:.2f} nats, bfloat16 {differences[-1]:+.2f}", flush=True
        )
    mean, error = statistics.mean(differences), statistics.stdev(differences) / math.sqrt(seeds)
    half = stats.t.ppf(0.975, seeds - 1) * error
    print(f"bfloat16 - float32: {mean:+.3f} nats, 95 % interval {mean - half:+.3f} to {mean + half:+.3f}")


def bound() -> None:
    """Time the bound, and hold it against float64 on common digits."""
    digits = data.load()
    vae = model()
    torch.set_num_threads(2)
    fit(vae, digits, replace(CONFIG, threads=2, track_samples=1))
    few = digits.test.images[:500]
    vae.bound(few, 2, precision="auto")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    since = time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    score = vae.bound(digits.test.images, 1000, generator=generator, precision="auto").mean().item()
    seconds = time.perf_counter() - since
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"1000-sample bound of 10,000 digits, 2 threads: {score:.3f} nats, {seconds:.1f} s, +{grown:.0f} MiB"
    )

    def repeated(of: Callable[[int], Tensor], seeds: range) -> tuple[float, float]:
        means = [of(seed).mean().item() for seed in seeds]
        return statistics.mean(means), statistics.stdev(means) / math.sqrt(len(means))

    def fast(seed: int) -> Tensor:
        return vae.bound(few, 1000, generator=torch.Generator().manual_seed(seed), precision="auto")

    here, error = repeated(fast, range(1, 9))
    exact, error_of_exact = repeated(
        lambda seed: vae.double().bound(few.double(), 1000, generator=torch.Generator().manual_seed(seed)),
        range(11, 15),
    )
    print(f"of 500 digits: {here:.4f} +- {error:.4f}; in float64 {exact:.4f} +- {error_of_exact:.4f}")
    print(f"difference {here - exact:+.4f}, standard error {math.hypot(error, error_of_exact):.4f}")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("step", "equal", "bound"):
        {"step": step, "equal": equal, "bound": bound}[name]()
