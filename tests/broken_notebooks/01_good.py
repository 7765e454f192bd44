# %% [markdown]
# # A notebook without a fault
#
# The mean is 0.577, close to $0.5772$; `temperature=0.3` and [Table 1: 105.0] are no results of ours.
#
# *After this chapter you can* recognize a good notebook.

# %%
from matplotlib.figure import Figure

from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.plot import show

# %%
values = [0.5, 0.6, 0.631]
claim("01.mean", sum(values) / 3, 0.5772, 0.0064, "closed form: Euler's constant")

# %%
fig = Figure()
fig.subplots().plot(values)
show(fig, "01_good", "A rising line through three points.", {"values": values, "names": ["a", "b"]})

# %% [markdown]
# A rising line through three points. ## What could go wrong: nothing. ## Exercises: three.

# %% tags=["solution"]
print(1)

# %% tags=["solution"]
print(2)

# %% tags=["solution"]
print(3)

# %% tags=["nbval-ignore-output"] reason="the address of an object differs from run to run"
print(object())

# %%
print(4)

# %%
print(5)

# %%
print(6)

# %% [markdown]
# *What you can now do*: recognize it.
#
# ## References
#
# Somebody, volume 1.5.
