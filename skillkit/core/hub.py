"""The Hugging Face hub, which may be out of reach.

>>> with hub(): tokenizer = AutoTokenizer.from_pretrained("gpt2")                              # doctest: +SKIP
"""

import sys
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

ANSWER = 5  # seconds that the hub has to answer


@contextmanager
def hub():
    """Where the hub does not answer, only what is on this machine is looked for, as with HF_HUB_OFFLINE=1.

    >>> with hub(): dataset = load_dataset("nyu-mll/glue", "rte")                               # doctest: +SKIP

    By itself `huggingface_hub` tries for 23 seconds, and again for every file.
    """
    from huggingface_hub import constants  # takes time, which what is on this machine spares

    with ExitStack() as stack:
        if not constants.HF_HUB_OFFLINE and not _answers(constants.ENDPOINT):
            stack.enter_context(patch.object(constants, "HF_HUB_OFFLINE", True))
            if "datasets" in sys.modules:
                stack.enter_context(patch.object(sys.modules["datasets"].config, "HF_HUB_OFFLINE", True))
        yield


def _answers(endpoint):
    from huggingface_hub.utils import get_session  # which knows of proxies and certificates

    try:
        get_session().head(endpoint, timeout=ANSWER)
    except Exception:  # of the connection, of many kinds
        return False
    return True
