"""Where randomness enters the book: uniform, Gumbel, logistic and Gaussian noise.

Every sampler has the signature `(shape, *, generator=None, device=None, dtype=None)` and returns finite
numbers only. `generator=None` means torch's global generator; without `device`, the generator's own device is
used. Half-precision noise is drawn in float32 and rounded: uniforms drawn in bfloat16 would give no Gumbel
noise above 5.54.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from catvae_lib import _validate

_HALF = (torch.float16, torch.bfloat16)


def uniform(
    shape: int | Sequence[int],
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Draw uniform noise strictly inside the open interval $(0, 1)$.

    The random number generator counts in steps of $2^{-24}$ (float32) or $2^{-53}$ (float64) and can return
    exactly 0. That one value is moved to half a step, so that $\ln u$ and $\ln(1 - u)$ are finite (article,
    below Eq. (3): $u \sim U(0, 1)$).

    Args:
        shape: Shape of the result.
        generator: Source of randomness.
        device: Where the result lives.
        dtype: A floating-point type; torch's default if None.

    Returns:
        Tensor of the given shape, every entry in $(0, 1)$.

    Raises:
        ValueError: If the dtype is not floating point or a size is negative.

    Example:
        >>> u = uniform((2, 3), generator=torch.Generator().manual_seed(0))
        >>> bool(((u > 0) & (u < 1)).all())
        True
    """
    size, place, dtype, draw = _arguments(shape, generator, device, dtype)
    u = _open_uniform(size, generator, place, draw)
    return u if dtype == draw else _inside(u.to(dtype))


def gumbel(
    shape: int | Sequence[int],
    loc: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Draw Gumbel noise $\epsilon = \mu - \beta \ln(-\ln u)$ with $u \sim U(0, 1)$ (article, above Eq. (1)).

    Args:
        shape: Shape of the result.
        loc: Location $\mu$, broadcast against the shape.
        scale: Scale $\beta > 0$, broadcast against the shape.
        generator: Source of randomness.
        device: Where the result lives.
        dtype: A floating-point type; torch's default if None.

    Returns:
        Tensor of the given shape. In float32 the standard noise lies in $[-2.86, 16.64]$, the range of its
        $2^{24}$ uniforms.

    Raises:
        ValueError: If the dtype is not floating point, a size is negative, the scale is not positive, or loc
            or scale do not broadcast to the shape.

    Example:
        >>> noise = gumbel(100_000, generator=torch.Generator().manual_seed(0))
        >>> round(float(noise.mean()), 1)  # the mean is Euler's constant, 0.5772
        0.6
    """
    size, place, dtype, draw = _arguments(shape, generator, device, dtype)
    _check_fits(size, loc=loc, scale=scale)
    noise = _standard_gumbel(_open_uniform(size, generator, place, draw))
    return _placed(noise, loc, scale).to(dtype)


def logistic(
    shape: int | Sequence[int],
    loc: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Draw logistic noise $\mu + s\,(\ln u - \ln(1 - u))$ with $u \sim U(0, 1)$ (article, above Eq. (3)).

    The difference of two independent standard Gumbel variables has this distribution with $\mu = 0$ and $s =
    1$.

    Args:
        shape: Shape of the result.
        loc: Location $\mu$, broadcast against the shape.
        scale: Scale $s > 0$, broadcast against the shape.
        generator: Source of randomness.
        device: Where the result lives.
        dtype: A floating-point type; torch's default if None.

    Returns:
        Tensor of the given shape.

    Raises:
        ValueError: If the dtype is not floating point, a size is negative, the scale is not positive, or loc
            or scale do not broadcast to the shape.

    Example:
        >>> noise = logistic(100_000, generator=torch.Generator().manual_seed(0))
        >>> round(float((noise > 0).double().mean()), 1)
        0.5
    """
    size, place, dtype, draw = _arguments(shape, generator, device, dtype)
    _check_fits(size, loc=loc, scale=scale)
    noise = _standard_logistic(_open_uniform(size, generator, place, draw))
    return _placed(noise, loc, scale).to(dtype)


def normal(
    shape: int | Sequence[int],
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Draw standard Gaussian noise $\epsilon \sim \mathcal{N}(0, 1)$, the noise of a Gaussian latent space.

    Args:
        shape: Shape of the result.
        generator: Source of randomness.
        device: Where the result lives.
        dtype: A floating-point type; torch's default if None.

    Returns:
        Tensor of the given shape.

    Raises:
        ValueError: If the dtype is not floating point or a size is negative.

    Example:
        >>> noise = normal(100_000, generator=torch.Generator().manual_seed(0))
        >>> round(float(noise.std()), 1)
        1.0
    """
    size, place, dtype, draw = _arguments(shape, generator, device, dtype)
    return torch.randn(size, generator=generator, device=place, dtype=draw).to(dtype)


def gumbel_from_uniform(u: Tensor, loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Tensor:
    r"""Apply the inverse Gumbel CDF, $\mu - \beta \ln(-\ln u)$ (article, above Eq. (1)).

    Args:
        u: Uniform numbers, any shape. The end points 0 and 1, which a floating-point generator can return,
            are taken as the nearest numbers inside, so the result is finite.
        loc: Location $\mu$.
        scale: Scale $\beta > 0$.

    Returns:
        Gumbel noise of the broadcast shape.

    Raises:
        ValueError: If u leaves [0, 1], the scale is not positive, or the shapes do not broadcast.

    Example:
        >>> gumbel_from_uniform(torch.tensor([0.1, 0.5, 0.9]))
        tensor([-0.8340,  0.3665,  2.2504])
    """
    return _placed(_standard_gumbel(_checked(u, loc, scale)), loc, scale)


def logistic_from_uniform(u: Tensor, loc: float | Tensor = 0.0, scale: float | Tensor = 1.0) -> Tensor:
    r"""Apply the inverse logistic CDF, $\mu + s\,(\ln u - \ln(1 - u))$ (article, above Eq. (3)).

    Args:
        u: Uniform numbers, any shape; 0 and 1 are taken as the nearest numbers inside the interval.
        loc: Location $\mu$.
        scale: Scale $s > 0$.

    Returns:
        Logistic noise of the broadcast shape.

    Raises:
        ValueError: If u leaves [0, 1], the scale is not positive, or the shapes do not broadcast.

    Example:
        >>> logistic_from_uniform(torch.tensor([0.1, 0.5, 0.9]))
        tensor([-2.1972,  0.0000,  2.1972])
    """
    return _placed(_standard_logistic(_checked(u, loc, scale)), loc, scale)


def _standard_gumbel(u: Tensor) -> Tensor:
    return -torch.log(-torch.log(u))


def _standard_logistic(u: Tensor) -> Tensor:
    return torch.log(u) - torch.log1p(-u)


def _placed(noise: Tensor, loc: float | Tensor, scale: float | Tensor) -> Tensor:
    """Return loc + scale * noise; standard noise needs no arithmetic."""
    standard = not isinstance(loc, Tensor) and not isinstance(scale, Tensor) and (loc, scale) == (0, 1)
    return noise if standard else loc + scale * noise


def _open_uniform(
    size: tuple[int, ...],
    generator: torch.Generator | None,
    device: torch.device | None,
    dtype: torch.dtype,
) -> Tensor:
    """Draw from the open interval: the generator's 0 becomes half a step, and 1 it never returns."""
    u = torch.rand(size, generator=generator, device=device, dtype=dtype)
    return u.clamp(min=torch.finfo(dtype).eps / 4)  # not in place, which `vmap` would take one by one


def _arguments(
    shape: int | Sequence[int],
    generator: torch.Generator | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> tuple[tuple[int, ...], torch.device | None, torch.dtype, torch.dtype]:
    """Return size, device, dtype of the result, and the dtype to draw in."""
    shape = (shape,) if isinstance(shape, int) else shape
    _validate.size("shape", shape)
    _validate.generator("generator", generator)
    dtype = torch.get_default_dtype() if dtype is None else dtype
    _validate.instance("dtype", dtype, torch.dtype)
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point type, got {dtype}")
    device = _validate.device("device", device)
    if device is None and generator is not None:
        device = generator.device
    if device is not None and generator is not None and device.type != generator.device.type:
        raise ValueError(f"generator must be on the device {device}, got one on {generator.device}")
    return tuple(shape), device, dtype, torch.float32 if dtype in _HALF else dtype


def _check_fits(size: tuple[int, ...], loc: float | Tensor, scale: float | Tensor) -> None:
    """Require a place and a scale that do not enlarge the size: one draw would be used twice."""
    _validate.finite_number("loc", loc)
    _validate.positive("scale", scale)
    _validate.fits(size, loc=loc, scale=scale)


def _checked(u: Tensor, loc: float | Tensor, scale: float | Tensor) -> Tensor:
    _validate.floating("u", u)
    _validate.inside_unit_interval("u", u, slack=0.0)
    _validate.finite_number("loc", loc)
    _validate.positive("scale", scale)
    _validate.broadcastable(u=u, loc=loc, scale=scale)
    return _inside(u)


def _inside(u: Tensor) -> Tensor:
    """Move 0 and 1 to the nearest numbers inside the open interval."""
    limits = torch.finfo(u.dtype)
    # float16 is so short of small numbers that its subnormals count; elsewhere hardware may flush them to 0.
    smallest = limits.tiny * limits.eps if u.dtype == torch.float16 else limits.tiny
    return u.clamp(min=smallest, max=1 - limits.eps / 2)
