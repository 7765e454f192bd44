"""The tasks of the assignments, a file or two a chapter; each registers its checks."""

from catvae_lib.classroom.checks import (
    ch00_why_discrete_latents,
    ch01_gumbel_sampling,
    ch02_gumbel_max_trick,
    ch03_logistic_difference,
    ch03_published_sampler,
    ch04_softmax_relaxation,
    ch04_softmax_variables,
    ch05_bernoulli_kl,
    ch06_training_a_bernoulli_vae,
    ch06_training_loop,
    ch07_categorical_vae,
    ch08_gradient_estimators,
    ch09_bounds_and_evaluation,
    ch11_discrete_choice,
    ch11_simulated_choice,
)

__all__ = [
    "ch00_why_discrete_latents",
    "ch01_gumbel_sampling",
    "ch02_gumbel_max_trick",
    "ch03_logistic_difference",
    "ch03_published_sampler",
    "ch04_softmax_relaxation",
    "ch04_softmax_variables",
    "ch05_bernoulli_kl",
    "ch06_training_a_bernoulli_vae",
    "ch06_training_loop",
    "ch07_categorical_vae",
    "ch08_gradient_estimators",
    "ch09_bounds_and_evaluation",
    "ch11_discrete_choice",
    "ch11_simulated_choice",
]
