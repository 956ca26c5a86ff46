"""Pictures of attributions, drawn with matplotlib and returned as figures.

Every drawing function returns a `matplotlib.figure.Figure` built without pyplot: no display is
needed, no global state changes, nothing is shown, and a figure is freed with its last reference.
Arrays may be numpy or JAX, of any real dtype. matplotlib is imported by the first call, not before.
"""

from ._animation import animate as animate
from ._bars import bars as bars
from ._beeswarm import beeswarm as beeswarm
from ._curves import curves as curves
from ._grid import grid as grid
from ._images import heatmap as heatmap
from ._images import overlay as overlay
from ._logo import sequence_logo as sequence_logo
from ._save import save as save
from ._text import text as text
from ._tree import tree as tree
from ._values import normalize as normalize
from ._waterfall import waterfall as waterfall
