"""The private parts of torch that the package uses, one file each, with tests that detect changes.

The rest of the package uses no private names of torch, which ``tests/_torch/test_only_here.py`` checks. Exceptions are
the containers of modules (``_parameters``, ``_buffers``, ``_modules`` and the dictionaries of hooks) and the attributes
of pruning hooks (``_tensor_name``, ``_pruning_methods``). They are older than torch 1.4, and every pickled model
contains them, so torch cannot rename them.
"""
