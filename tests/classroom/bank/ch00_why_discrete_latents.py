import torch

from bank import right, wrong

# gaussian_reparameterized


@right("gaussian_reparameterized")
def _(mean, log_std, noise):
    return mean + torch.exp(log_std) * noise


@right("gaussian_reparameterized")
def _(mean, log_std, noise):
    return torch.addcmul(mean.expand(noise.shape), (2 * log_std).exp().sqrt(), noise)


wrong("gaussian_reparameterized", "variance multiplies")(
    lambda mean, log_std, noise: mean + noise * torch.exp(log_std) ** 2
)
wrong("gaussian_reparameterized", "log of a variance")(
    lambda mean, log_std, noise: mean + torch.exp(0.5 * log_std) * noise
)
wrong("gaussian_reparameterized", "log_std is a logarithm")(
    lambda mean, log_std, noise: mean + log_std * noise
)
wrong("gaussian_reparameterized", "NaN")(lambda mean, log_std, noise: mean + torch.sqrt(log_std) * noise)
wrong("gaussian_reparameterized", "draw none inside")(
    lambda mean, log_std, noise: mean + torch.exp(log_std) * torch.randn_like(mean)
)
wrong("gaussian_reparameterized", "not depend on log_std")(lambda mean, log_std, noise: mean + noise)
wrong("gaussian_reparameterized", "not depend on the mean")(
    lambda mean, log_std, noise: torch.exp(log_std) * noise
)
wrong("gaussian_reparameterized", "added last")(
    lambda mean, log_std, noise: (mean + noise) * torch.exp(log_std)
)
wrong("gaussian_reparameterized", "subtracted")(
    lambda mean, log_std, noise: mean - torch.exp(log_std) * noise
)
wrong("gaussian_reparameterized", "falls as log_std rises")(
    lambda mean, log_std, noise: mean + noise / torch.exp(log_std)
)
wrong("gaussian_reparameterized", "without gradient")(
    lambda mean, log_std, noise: mean.detach() + torch.exp(log_std) * noise
)
wrong("gaussian_reparameterized", "no gradient with respect to log_std")(
    lambda mean, log_std, noise: mean + torch.exp(log_std).detach() * noise
)
wrong("gaussian_reparameterized", "in place")(
    lambda mean, log_std, noise: noise.mul_(torch.exp(log_std)).add_(mean)
)


@wrong("gaussian_reparameterized", "not depend on the noise")
def _(mean, log_std, noise):
    return (mean + torch.exp(log_std)).expand(noise.shape)


@wrong("gaussian_reparameterized", "draw none inside")
def _(mean, log_std, noise):
    return torch.distributions.Normal(mean, torch.exp(log_std)).rsample()


# gaussian_kl_to_standard


@right("gaussian_kl_to_standard")
def _(mean, log_std):
    return 0.5 * (torch.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum(-1)


@right("gaussian_kl_to_standard")
def _(mean, log_std):
    total = torch.zeros_like(mean[:, 0])
    for d in range(mean.shape[1]):
        total = total - log_std[:, d] - 0.5 + 0.5 * mean[:, d] ** 2 + 0.5 * torch.exp(log_std[:, d]) ** 2
    return total


@wrong("gaussian_kl_to_standard", "take no logarithm")  # an infinity: exp(-400)^2 is 0
def _(mean, log_std):
    variance = torch.exp(log_std) ** 2
    return (0.5 * (variance + mean**2 - 1) - 0.5 * torch.log(variance.clamp(min=1e-30))).sum(-1)


@wrong("gaussian_kl_to_standard", "an infinity")
def _(mean, log_std):
    variance = torch.exp(log_std) ** 2
    return 0.5 * (variance + mean**2 - 1 - torch.log(variance)).sum(-1)


wrong("gaussian_kl_to_standard", "wrong sign everywhere")(
    lambda mean, log_std: 0.5 * (1 + 2 * log_std - mean**2 - torch.exp(2 * log_std)).sum(-1)
)
wrong("gaussian_kl_to_standard", "add up")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).mean(-1)
)
wrong("gaussian_kl_to_standard", "log of a variance")(
    lambda mean, log_std: 0.5 * (torch.exp(log_std) + mean**2 - 1 - log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "2 times the right result")(
    lambda mean, log_std: (torch.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "logarithm is missing")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 1).sum(-1)
)
wrong("gaussian_kl_to_standard", "sign of the logarithm")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 1 + 2 * log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "constant is missing")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 2 * log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "half its weight")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 1 - log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "not depend on the mean")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) - 1 - 2 * log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "square is missing")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean - 1 - 2 * log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "squared once more")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) ** 2 + mean**2 - 1 - 4 * log_std).sum(-1)
)
wrong("gaussian_kl_to_standard", "Everything was summed")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum()
)
wrong("gaussian_kl_to_standard", "One axis too many")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 1 - 2 * log_std)
)
wrong("gaussian_kl_to_standard", "without gradient")(
    lambda mean, log_std: 0.5 * (torch.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum(-1).detach()
)


@wrong("gaussian_kl_to_standard", "other direction")
def _(mean, log_std):
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    q = torch.distributions.Normal(mean, torch.exp(log_std))
    return torch.distributions.kl_divergence(standard, q).sum(-1)


# exact_elbo


@right("exact_elbo")
def _(logits, log_joint):
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * (log_joint - log_q)).sum(-1)


@right("exact_elbo")
def _(logits, log_joint):  # ln p(x) less the KL from q to the posterior
    q = torch.distributions.Categorical(logits=logits)
    posterior = torch.distributions.Categorical(logits=log_joint)
    return torch.logsumexp(log_joint, 1) - torch.distributions.kl_divergence(q, posterior)


wrong("exact_elbo", "entropy")(lambda logits, log_joint: (logits.softmax(-1) * log_joint).sum(-1))
wrong("exact_elbo", "sign of ln q")(
    lambda logits, log_joint: (logits.softmax(-1) * (log_joint + logits.log_softmax(-1))).sum(-1)
)
wrong("exact_elbo", "not the logit")(
    lambda logits, log_joint: (logits.softmax(-1) * (log_joint - logits)).sum(-1)
)
wrong("exact_elbo", "do not sum to 1")(
    lambda logits, log_joint: (torch.exp(logits) * (log_joint - logits)).sum(-1)
)
wrong("exact_elbo", "1/K")(
    lambda logits, log_joint: (logits.softmax(-1) * (log_joint - logits.log_softmax(-1))).mean(-1)
)
wrong("exact_elbo", "logarithm of an expectation")(
    lambda logits, log_joint: (logits.softmax(-1) * log_joint.exp()).sum(-1).log()
)
wrong("exact_elbo", "ln p(x) itself")(lambda logits, log_joint: torch.logsumexp(log_joint, -1))
wrong("exact_elbo", "negative ELBO")(
    lambda logits, log_joint: (logits.softmax(-1) * (logits.log_softmax(-1) - log_joint)).sum(-1)
)
wrong("exact_elbo", "over the batch")(
    lambda logits, log_joint: (logits.softmax(0) * (log_joint - logits.log_softmax(0))).sum(-1)
)
wrong("exact_elbo", "same weight")(lambda logits, log_joint: (log_joint - logits.log_softmax(-1)).mean(-1))
wrong("exact_elbo", "Everything was summed")(
    lambda logits, log_joint: (logits.softmax(-1) * (log_joint - logits.log_softmax(-1))).sum()
)
wrong("exact_elbo", "NaN")(
    lambda logits, log_joint: (logits.softmax(-1) * (log_joint - logits.softmax(-1).log())).sum(-1)
)
wrong("exact_elbo", "without gradient")(
    lambda logits, log_joint: (logits.softmax(-1) * (log_joint - logits.log_softmax(-1))).sum(-1).detach()
)


@wrong("exact_elbo", "draw none")
def _(logits, log_joint):
    z = torch.multinomial(logits.softmax(-1), 1)
    return (log_joint - logits.log_softmax(-1)).gather(-1, z).squeeze(-1)


@wrong("exact_elbo", "every q must carry them")
def _(logits, log_joint):
    q = logits.softmax(-1).detach()
    return (q * (log_joint - logits.log_softmax(-1))).sum(-1)


# expected_gradient


@right("expected_gradient")
def _(logits, values):
    q = logits.softmax(-1)
    return q * (values - (q * values).sum(-1, keepdim=True))


@right("expected_gradient")
def _(logits, values):
    logits = logits.detach().requires_grad_()
    return torch.autograd.grad((torch.softmax(logits, -1) * values).sum(), logits)[0]


@right("expected_gradient")
def _(logits, values):
    q = logits.softmax(-1)
    jacobian = torch.diag_embed(q) - q.unsqueeze(-1) * q.unsqueeze(-2)
    return (jacobian @ values.unsqueeze(-1)).squeeze(-1)


wrong("expected_gradient", "constant added to all values")(lambda logits, values: logits.softmax(-1) * values)
wrong("expected_gradient", "with respect to the probabilities")(lambda logits, values: values.clone())
wrong("expected_gradient", "weight is missing")(
    lambda logits, values: values - (logits.softmax(-1) * values).sum(-1, keepdim=True)
)
wrong("expected_gradient", "plain mean")(
    lambda logits, values: logits.softmax(-1) * (values - values.mean(-1, keepdim=True))
)
wrong("expected_gradient", "sign")(
    lambda logits, values: logits.softmax(-1) * ((logits.softmax(-1) * values).sum(-1, keepdim=True) - values)
)
wrong("expected_gradient", "diagonal")(
    lambda logits, values: logits.softmax(-1) * (1 - logits.softmax(-1)) * values
)
wrong("expected_gradient", "taken for probabilities")(
    lambda logits, values: logits * (values - (logits * values).sum(-1, keepdim=True))
)
wrong("expected_gradient", "NaN")(
    lambda logits, values: (
        logits.exp()
        / logits.exp().sum(-1, keepdim=True)
        * (values - (logits.exp() * values).sum(-1, keepdim=True) / logits.exp().sum(-1, keepdim=True))
    )
)
wrong("expected_gradient", "One axis is lost")(lambda logits, values: (logits.softmax(-1) * values).sum(-1))


@wrong("expected_gradient", "zero everywhere")
def _(logits, values):
    logits = logits.detach().requires_grad_()
    z = torch.softmax(1e9 * logits, -1)
    return torch.autograd.grad((z * values).sum(), logits)[0]


@wrong("expected_gradient", "does not require grad")
def _(logits, values):
    logits = logits.detach().requires_grad_()
    z = torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])
    return torch.autograd.grad((z * values).sum(), logits)[0]


@wrong("expected_gradient", "mean over the batch")
def _(logits, values):
    logits = logits.detach().requires_grad_()
    return torch.autograd.grad((torch.softmax(logits, -1) * values).sum(-1).mean(), logits)[0]


@wrong("expected_gradient", "distribution of its own")
def _(logits, values):
    logits = logits.detach().requires_grad_()
    return torch.autograd.grad((torch.softmax(logits, 0) * values).sum(), logits)[0]


@wrong("expected_gradient", "needs no sample")
def _(logits, values):
    q = logits.softmax(-1)
    z = torch.nn.functional.one_hot(torch.multinomial(q, 1).squeeze(-1), q.shape[-1])
    return (z * values).sum(-1, keepdim=True) * (z - q)


# Right values with a gradient that is not, a NaN repaired too late, and axes that are mixed up.


@wrong("gaussian_reparameterized", "How they change with log_std")
def _(mean, log_std, noise):
    return mean + (log_std.exp().detach() + log_std - log_std.detach()) * noise


@wrong("gaussian_kl_to_standard", "no gradient with respect to log_std")
def _(mean, log_std):
    std = log_std.detach()
    return ((2 * std).exp() / 2 + mean.square() / 2 - 0.5 - std).sum(-1)


@wrong("gaussian_kl_to_standard", "take no logarithm")
def _(mean, log_std):
    std = log_std.exp()
    return (std.square() / 2 + mean.square() / 2 - 0.5 - std.log()).sum(-1)


wrong("gaussian_kl_to_standard", "sigma stands where its square belongs")(
    lambda mean, log_std: (log_std.exp() / 2 + mean.square() / 2 - 0.5 - log_std).sum(-1)
)


@wrong("exact_elbo", "let none arise")
def _(logits, log_joint):
    q = torch.softmax(logits, -1)
    return torch.nan_to_num(q * (log_joint - q.log())).sum(-1)


@wrong("exact_elbo", "let none arise")
def _(logits, log_joint):
    q = torch.softmax(logits, -1)
    return torch.where(q > 0, q * (log_joint - q.log()), 0.0).sum(-1)


@right("exact_elbo")
def _(logits, log_joint):
    q = torch.distributions.Categorical(logits=logits)
    return (q.probs * log_joint).sum(-1) + q.entropy()


@wrong("expected_gradient", "returns a tuple")
def _(logits, values):
    leaf = logits.detach().requires_grad_()
    return torch.autograd.grad((torch.softmax(leaf, -1) * values).sum(), leaf)


@wrong("expected_gradient", "each row has its own")
def _(logits, values):
    q = torch.softmax(logits, -1)
    return q * (values - (q * values).sum())


@wrong("expected_gradient", "respect to the values")
def _(logits, values):
    leaf = values.clone().requires_grad_()
    return torch.autograd.grad((torch.softmax(logits, -1) * leaf).sum(), leaf)[0]


@right("expected_gradient")
def _(logits, values):
    q = torch.softmax(logits, -1)
    jacobian = torch.diag_embed(q) - q[:, :, None] * q[:, None, :]
    return (jacobian @ values[:, :, None])[:, :, 0]
