"""The trained networks of the examples, which are no installed package."""

import sys
from pathlib import Path

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
sys.path.insert(0, str(_EXAMPLES))
try:
    from pretrained import Pretrained as Pretrained
    from pretrained import efficientnet_lite0 as efficientnet_lite0
    from pretrained import load as load
    from pretrained import sample_image as sample_image
    from pretrained import squeezenet as squeezenet
finally:
    sys.path.remove(str(_EXAMPLES))
