"""A dask worker's preload: a worker with another version of mmsr_geo, or with none, as MMSR_GEO_TEST_VERSION says."""

from __future__ import annotations

import os
import sys

if version := os.environ["MMSR_GEO_TEST_VERSION"]:
    import mmsr_geo
    from mmsr_geo import _version

    mmsr_geo.__version__ = _version.__version__ = version
else:
    sys.modules.update({"mmsr_geo": None})  # type: ignore[dict-item]  # what is None there cannot be imported
