"""The trained networks of the examples, which are no installed package."""

import sys
from pathlib import Path

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
sys.path.insert(0, str(_EXAMPLES))
try:
    from models import Pretrained as Pretrained
    from models import efficientnet_lite0 as efficientnet_lite0
    from models import load as load
    from models import sample_image as sample_image
    from models import squeezenet as squeezenet
finally:
    sys.path.remove(str(_EXAMPLES))
