"""How hypothesis searches."""

from hypothesis import Phase, settings

# For the mutants: that a failure was found is enough, the shortest is not looked for.
settings.register_profile("first-failure", phases=[Phase.generate])
