"""Objects of Objaverse 1.0: which there are, under which licence, downloaded and brought into this package's frame.

Source: Deitke et al., "Objaverse: A Universe of Annotated 3D Objects" (arXiv:2212.08051).
"""
