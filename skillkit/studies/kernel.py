"""The kernel that runs notebooks: always this interpreter, whatever kernels the machine has registered.

>>> papermill.execute_notebook("a.ipynb", "b.ipynb", kernel_manager_class=ThisPython)          # doctest: +SKIP
"""

import os
from queue import Empty
from time import monotonic

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpec
from traitlets import Type, default

from skillkit.core.provenance import usable_cores

POLL_INTERVAL = 1.0  # seconds
# glibc gives large blocks back when they are freed, and gets them again page by page for the next layer. Here it keeps
# half a gigabyte of them, and maps only blocks of 64 MB and more; other C libraries take no notice.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**26), "MALLOC_TRIM_THRESHOLD_": str(2**29)}


class PollingChannel(AsyncZMQSocketChannel):
    """Looks for a reply every second, since a signal of it may be lost.

    >>> await channel.get_msg(timeout=None)         # doctest: +SKIP

    While a cell shows widgets, nbclient sends the kernel their state past the event loop. If a reply arrives at
    that very moment, the sending uses up the signal for the loop, and one would wait for ever.
    """

    async def get_msg(self, timeout=None):
        """The next message; raises Empty when there is none within `timeout` seconds."""
        until = float("inf") if timeout is None else monotonic() + timeout
        while True:
            left = max(0.0, until - monotonic())
            try:
                return await super().get_msg(min(POLL_INTERVAL, left))
            except Empty:
                if left <= POLL_INTERVAL:
                    raise


class AttentiveClient(AsyncKernelClient):
    """The client of a kernel whose replies are not missed.

    >>> AttentiveClient().shell_channel_class.__name__
    'PollingChannel'
    """

    shell_channel_class = Type(PollingChannel)


class ThisPython(AsyncKernelManager):
    """Starts the interpreter that runs this, so a fresh virtual environment needs no kernel registered.

    >>> ThisPython().kernel_spec.argv[0] == sys.executable
    True

    The threads of the numerical libraries are the cores that this process may use, unless OMP_NUM_THREADS
    says so; how freed memory is kept, MALLOC says, unless the environment does.
    """

    client_factory = Type(AttentiveClient)

    @property
    def kernel_spec(self):
        """This interpreter, with the threads and memory that the environment asks for at this moment."""
        wanted = {"OMP_NUM_THREADS": str(usable_cores())} | MALLOC
        own = {name: os.environ.get(name, value) for name, value in wanted.items()}
        return KernelSpec(**get_kernel_dict(), env=own)

    @default("transport_encryption")
    def _encrypt_where_supported(self):
        return "auto"
