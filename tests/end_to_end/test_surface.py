"""The names that notebooks and users call, and what importing them costs."""

import subprocess
import sys

import skillkit as sk


def test_every_name_resolves():
    for name in sk.__all__:
        assert callable(getattr(sk, name)), name


def test_importing_the_package_imports_no_heavy_library():
    code = "import sys, skillkit; print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"
