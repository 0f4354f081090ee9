"""How kernels are compiled."""

import os
import subprocess
import sys

from fedcausal.discovery.search_state import FLOOR, TOLERANCE, compiled


def test_a_compiled_function_computes_the_same():
    def add(a, b):
        return a + b + TOLERANCE - FLOOR

    assert compiled(add)(1, 2) == add(1, 2)


def test_without_a_folder_for_machine_code_kernels_compile_anyway(tmp_path):
    module = tmp_path / "read_only" / "kernel.py"
    module.parent.mkdir()
    module.write_text(
        "from fedcausal.discovery.search_state import compiled\n"
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "@compiled\n"
        "def twice(a):\n"
        "    return a + a\n"
        "assert twice(21) == 42\n"
    )
    subprocess.run([sys.executable, str(module)], check=True, timeout=120, env={**os.environ})
