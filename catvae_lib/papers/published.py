"""What the papers report, in nats (an upper limit on the test NLL; lower is better) or per cent."""

JANG = {  # Jang, Gu and Poole (2016), Table 1
    "SBN (Bern.)": {
        "score_function": 72.0,
        "darn": 59.7,
        "muprop": 58.9,
        "straight_through": 58.9,
        "annealed_straight_through": 58.7,
        "gumbel_softmax": 58.5,
        "straight_through_gumbel_softmax": 59.3,
    },
    "SBN (Cat.)": {
        "score_function": 73.1,
        "darn": 67.9,
        "muprop": 63.0,
        "straight_through": 61.8,
        "annealed_straight_through": 61.1,
        "gumbel_softmax": 59.0,
        "straight_through_gumbel_softmax": 59.7,
    },
    "VAE (Bern.)": {
        "score_function": 112.2,
        "darn": 110.9,
        "muprop": 109.7,
        "straight_through": 116.0,
        "annealed_straight_through": 111.5,
        "gumbel_softmax": 105.0,
        "straight_through_gumbel_softmax": 111.5,
    },
    "VAE (Cat.)": {
        "score_function": 110.6,
        "darn": 128.8,
        "muprop": 107.0,
        "straight_through": 110.9,
        "annealed_straight_through": 107.8,
        "gumbel_softmax": 101.5,
        "straight_through_gumbel_softmax": 107.8,
    },
}

_M = (1, 5, 50)
MADDISON = {  # Maddison, Mnih and Teh (2016), Table 1, MNIST test: Concrete, then VIMCO (with m = 1: NVIL)
    "200H-784V": {"concrete": (107.3, 104.9, 104.3), "vimco": (104.4, 101.9, 98.8)},
    "200H-200H-784V": {"concrete": (102.1, 99.9, 99.5), "vimco": (92.9, 91.7, 90.7)},
    "200H~784V": {"concrete": (92.1, 89.5, 88.5), "vimco": (93.8, 91.4, 89.3)},
    "200H~200H~784V": {"concrete": (87.9, 86.3, 85.7), "vimco": (88.4, 86.4, 85.5)},
    "392V-240H-240H-392V": {"concrete": (58.5, 54.3, 53.4), "vimco": (61.4, 54.5, 51.8)},
    "392V-240H-240H-240H-392V": {"concrete": (56.3, 52.7, 52.0), "vimco": (59.7, 53.5, 50.2)},
    "240H~784V": {"concrete": (91.9, 89.0, 88.4)},
    "120 4-ary~784V": {"concrete": (91.4, 89.4, 89.7)},
    "80 8-ary~784V": {"concrete": (92.5, 90.5, 90.5)},
}

SEMI_SUPERVISED = {  # Jang et al. (2016), Table 2, 100 labels: minus the ELBO, accuracy in per cent
    "marginalization": (106.8, 92.6),
    "gumbel_softmax": (109.6, 92.4),
    "straight_through_gumbel_softmax": (110.7, 93.6),
}


def reported(row: str, estimator: str, samples: int) -> float | None:
    """Return the published NLL of a cell, None where the papers have none.

    Example:
        >>> reported("200H~784V", "concrete", 5)
        89.5
        >>> reported("VAE (Bern.)", "rebar", 1) is None
        True
    """
    if row in MADDISON:
        numbers = MADDISON[row].get(estimator)
        return numbers[_M.index(samples)] if numbers and samples in _M else None
    if row == "100 labels":
        return SEMI_SUPERVISED[estimator][0]
    return JANG.get(row, {}).get(estimator)
