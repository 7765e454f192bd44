"""Categorical variational autoencoders and the Gumbel trick: the library that the book stands on.

Mathematics: `noise`, `sampling`, `density`, `distributions`. Model: `latent`, `network`, `vae`, `estimators`.
Experiment: `data`, `training`, `profiles`. Classroom: `classroom.claims`, `classroom.plot`,
`classroom.stats`. Import the module you need; this file imports none of them.
"""

__version__ = "0.1.0"
