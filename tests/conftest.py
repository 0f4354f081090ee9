"""What holds for every test here."""

from hypothesis import settings

# A property is tried on the same examples in every run: a failure is one for everybody, at once.
settings.register_profile("fedcausal", derandomize=True, database=None)
settings.load_profile("fedcausal")
