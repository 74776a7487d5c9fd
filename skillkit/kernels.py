"""The kernel that runs notebooks: always this interpreter, whatever kernels the machine has registered.

>>> papermill.execute_notebook("a.ipynb", "b.ipynb", kernel_manager_class=ThisPython)          # doctest: +SKIP
"""

import os

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from traitlets import default

from skillkit.provenance import usable_cores


class ThisPython(AsyncKernelManager):
    """Starts the interpreter that runs this, so a fresh virtual environment needs no kernel registered.

    >>> ThisPython().kernel_spec.argv[0] == sys.executable
    True

    The threads of the numerical libraries are the cores that this process may use, unless OMP_NUM_THREADS
    says so.
    """

    @property
    def kernel_spec(self):
        """This interpreter, with the threads that the environment asks for at this moment."""
        threads = os.environ.get("OMP_NUM_THREADS", str(usable_cores()))
        return KernelSpec(**get_kernel_dict(), env={"OMP_NUM_THREADS": threads})

    @default("transport_encryption")
    def _encrypt_where_supported(self):
        return "auto"
