"""What torch does not promise to keep, one file a thing, each with a test that says what has changed.

The rest of the package names nothing private of torch, which ``tests/_torch/test_only_here.py`` sees to. Left out are
the containers of modules (``_parameters``, ``_buffers``, ``_modules`` and the dictionaries of hooks) and what a pruning
hook knows (``_tensor_name``, ``_pruning_methods``): they are private by name, older than torch 1.4, and saved in every
pickled model, so that torch cannot rename them.
"""
