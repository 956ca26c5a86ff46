"""Transforms: random changes of a picture, for `transforms=` of `maximize_activation`.

A transform is any differentiable function `(key, x) -> x`. These keep the shape of `x`; leaves of a
pytree are changed independently.
"""

from .maximization._transforms import blur as blur
from .maximization._transforms import compose as compose
from .maximization._transforms import jitter as jitter
from .maximization._transforms import rotate as rotate
from .maximization._transforms import scale as scale
