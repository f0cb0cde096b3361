"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# All servers of the tests are on this machine; whatever proxy it has for others leads to none of them.
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.lower(), None)

# The same examples on every machine and in every run: a run judges a change, and says the same of the same code. Who
# looks for more runs with `--hypothesis-profile=explore`, whose examples are others each time.
settings.register_profile("same", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("explore", deadline=None, derandomize=False, max_examples=2000, print_blob=True)
settings.load_profile("same")
