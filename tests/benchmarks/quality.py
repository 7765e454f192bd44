"""What the library's defaults reach in the budget of other public code: 5 epochs of 50,000 digits, batch 100.

    python tests/benchmarks/quality.py ROOT     # ROOT/MNIST/raw holds the grey originals

The model is 784-512-256-(200 bits or 20 x 10)-256-512-784, trained and scored on grey pixels, as the others
do, and on the fixed binarization: minus the single-sample ELBO of the 10,000 test digits, with hard codes.
"""

import sys

import torch

from catvae_lib import data, network
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent
from catvae_lib.training import TrainConfig, fit
from catvae_lib.vae import VAE


def score(latent: Latent, digits: data.Dataset, seed: int) -> float:
    """Train by the defaults, and return the mean of -ELBO in nats."""
    torch.manual_seed(seed)
    encoder = network.mlp(784, [512, 256], latent.num_parameters)
    decoder = network.mlp(latent.num_features, [256, 512], 784)
    network.start_at_data_mean(decoder, digits.train.images)
    vae = VAE(encoder, latent, decoder)
    fit(vae, digits, TrainConfig(epochs=5, seed=seed))
    x = digits.test.images
    with torch.no_grad():
        noise = vae.noise(x, generator=torch.Generator().manual_seed(seed))
        return vae.loss(x, noise, sample="straight_through").total.mean().item()


def main(root: str, seeds: int = 3) -> None:
    """Print a row for each model and each kind of pixel."""
    for pixels in ("grey", "fixed"):
        digits = data.load("mnist", root=root, binarization="none" if pixels == "grey" else "fixed")
        for latent in (BernoulliLatent(200), CategoricalLatent(20, 10)):
            scores = [score(latent, digits, seed) for seed in range(seeds)]
            print(f"{pixels:5s} {latent}: {', '.join(f'{one:.2f}' for one in scores)} nats", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
