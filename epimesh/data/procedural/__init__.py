"""Objects made by seeded grammars: chairs, boxes, bottles, animals, ... in endless variety, for training.

Source:
    The mixture follows what helped most in our own measurements; the idea of training on composed primitives is that of
    Xu et al., "Deep Image-Based Relighting" (2018) and Xie et al., "LRM-Zero" (arXiv:2406.09371). No code of theirs.
"""
