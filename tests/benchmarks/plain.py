"""The training loop that a reader would write first: the peer that `make bench` compares the library with."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZES = [784, 512, 256, 200, 256, 512, 784]
BATCH, TEMPERATURE = 100, 2 / 3


class PlainVAE(nn.Module):
    """A Bernoulli VAE with ReLU layers and PyTorch's own initialization."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, code, d, e, f = SIZES
        self.encoder = nn.Sequential(
            nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU(), nn.Linear(c, code)
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, d), nn.ReLU(), nn.Linear(d, e), nn.ReLU(), nn.Linear(e, f)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits = self.encoder(x)
        u = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
        z = torch.sigmoid((logits + torch.log(u) - torch.log(1 - u)) / TEMPERATURE)
        q = torch.sigmoid(logits)
        kl = q * torch.log(2 * q + 1e-8) + (1 - q) * torch.log(2 * (1 - q) + 1e-8)
        cross_entropy = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none")
        return (cross_entropy.sum(-1) + kl.sum(-1)).mean()


def steps(images: Tensor):  # type: ignore[no-untyped-def]
    """Train for ever; every `next` takes one step."""
    model = PlainVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        for rows in torch.randperm(len(images)).split(BATCH):
            loss = model(images[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def steps_with_loader(images: Tensor):  # type: ignore[no-untyped-def]
    """The same, fed by a DataLoader."""
    model = PlainVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    dataset = torch.utils.data.TensorDataset(images)
    while True:
        for (x,) in torch.utils.data.DataLoader(dataset, BATCH, shuffle=True):
            loss = model(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield
