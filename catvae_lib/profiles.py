"""How much work a notebook does: smoke (a first look), cpu (what the book prints) or gpu (full scale)."""

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Profile:
    """One scale of the experiments.

    Attributes:
        name: "smoke", "cpu" or "gpu".
        device: Where the tensors live.
        dtype: Precision of training. In float32, thousands of steps end in other digits on other processors;
            in float64 they end in the same ones, so what the book prints is what a reader gets.
        threads: Threads of a CPU operation; None leaves torch's own choice. One thread is within a quarter of
            two for models of this size, gives the same rounding everywhere, and lets two notebooks run side
            by side.
        train_images: How many of the training images are used.
        epochs: Passes over them.
        track_images: Validation images on which the three numbers are tracked after every epoch.
        track_samples: Samples of the multi-sample bound on those.
        test_images: Test images of the final bound.
        test_samples: Samples of the final bound.
    """

    name: str
    device: str
    dtype: torch.dtype
    threads: int | None
    train_images: int
    epochs: int
    track_images: int
    track_samples: int
    test_images: int
    test_samples: int


PROFILES = {
    "smoke": Profile("smoke", "cpu", torch.float64, 1, 2_000, 3, 100, 10, 100, 50),
    "cpu": Profile("cpu", "cpu", torch.float64, 1, 50_000, 5, 500, 100, 2_000, 1_000),
    "gpu": Profile("gpu", "cuda", torch.float32, None, 50_000, 200, 500, 100, 10_000, 1_000),
}


def asked() -> str | None:
    """Return the profile that the environment variable CATVAE_PROFILE names, None if it names none.

    Raises:
        ValueError: If it is none of smoke, cpu, gpu.

    Example:
        >>> asked() in (None, *PROFILES)
        True
    """
    name = os.environ.get("CATVAE_PROFILE") or None
    if name is not None and name not in PROFILES:
        raise ValueError(f"CATVAE_PROFILE must be one of {', '.join(PROFILES)}, got {name!r}")
    return name


def current() -> Profile:
    """Return the profile that CATVAE_PROFILE names, and set torch's threads as it says.

    Without that environment variable it is "gpu" where CUDA is available, else "cpu".

    Returns:
        The profile.

    Raises:
        ValueError: If CATVAE_PROFILE is none of smoke, cpu, gpu, or asks for a GPU where there is none.

    Example:
        >>> current().name in PROFILES
        True
    """
    profile = PROFILES[asked() or ("gpu" if torch.cuda.is_available() else "cpu")]
    if profile.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("CATVAE_PROFILE is gpu, but torch finds no CUDA device; set it to cpu or smoke")
    if profile.threads is not None:
        torch.set_num_threads(profile.threads)
    return profile
