"""Categorical variational autoencoders and the Gumbel trick: the library that the book stands on.

Mathematics: `noise`, `sampling`, `density`. Model: `latent`, `network`, `vae`. Experiment: `data`,
`training`, `profiles`. Classroom: `classroom.claims`, `classroom.plot`, `classroom.stats`. Import the module
you need; this file imports none of them.
"""

__version__ = "0.1.0"
