"""How hypothesis searches."""

from hypothesis import Phase, settings

# No test is about time; machines are noisy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# For the mutants: that a failure was found is enough, the shortest is not looked for.
settings.register_profile("first-failure", deadline=None, phases=[Phase.generate])
