"""Non-local contrastive learning (Ye et al., CVPR 2022): what the paper adds to two generators.

``sampling`` finds recurring patches, ``losses`` holds the equations, ``critic`` and ``heads`` the networks that only
training needs. The generators are in :mod:`derain.models.nlcl`, one training step in :mod:`derain.training.contrast`.
"""
