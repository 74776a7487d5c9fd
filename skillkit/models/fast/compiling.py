"""Blocks of a backbone through `torch.compile`: for GPUs, where starting a small kernel can outlast its work.

>>> bb = compile_blocks(sk.load_backbone("embedded/bert"), backend="eager")        # on a GPU: without `backend`
"""

import torch


def compile_blocks(bb, **options):
    """Give every block of the model to `torch.compile`, in place; returns the backbone.

    >>> compile_blocks(sk.load_backbone("embedded/bert"), backend="eager")
    Backbone(...)

    options: those of `torch.compile`, such as `mode` or `backend`. A block is compiled when it runs for the first
    time, which takes up to minutes; texts of other lengths use the same code. Results are the same up to rounding,
    inside interventions too: a block whose hooks have changed is compiled anew, or, where the compiler cannot follow
    them, runs as it was written.
    """
    # Else what was compiled without a hook would go on running without it.
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    torch._dynamo.config.suppress_errors = True  # what it cannot follow runs as it was written
    for block in bb.blocks:
        block.compile(dynamic=True, **options)
    return bb
