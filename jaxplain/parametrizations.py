"""Parametrizations: what an ascent moves, to pass as `parametrization=` of `maximize_activation`.

A picture is its pixels, its spectrum, or what a generator makes of a code. One of your own is three
functions: see `Parametrization`.
"""

from .maximization._fourier import fourier as fourier
from .maximization._fourier import natural_colors as natural_colors
from .maximization._parametrizations import Parametrization as Parametrization
from .maximization._parametrizations import code as code
from .maximization._parametrizations import pixels as pixels
