"""Every test sees the same random numbers, whichever tests ran before it."""

import pytest
import torch


def seeded():
    torch.manual_seed(0)


for_module_fixtures = pytest.fixture(scope="module", autouse=True)(seeded)
for_tests = pytest.fixture(autouse=True)(seeded)
