"""How does pyDMS sharpen one pair? `peers.py` runs this script in the Python environment of pyDMS.

    python benchmarks/run_pydms.py SOURCE GUIDE OUT

The settings are those of the example in pyDMS, run_pyDMS.py: decision trees with a linear regression in each leaf, a
moving window of 15 source pixels, an automatic homogeneity threshold, and residual correction. Two settings differ. No
quality mask is passed, because nodata is NaN. The conversion to radiance is off, because the source is a mean of values
and not of radiances. The seed of the random generator is fixed, so that a run can be repeated.

The environment needs the package python-dms, numpy below 2 and GDAL's Python module. It does not need mmsr_geo.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version

SEED = 0
WINDOW_PX = 15
"""Side of the moving window, in source pixels."""


def sharpen(source: str, guide: str, out: str) -> None:
    """Write the sharpened and corrected source as a GeoTIFF on the guide's grid, NaN where nodata."""
    import numpy as np  # noqa: PLC0415  (--help answers without pyDMS)
    from osgeo import gdal  # noqa: PLC0415
    from pyDMS.pyDMS import DecisionTreeSharpener  # noqa: PLC0415

    np.random.seed(SEED)  # noqa: NPY002  (scikit-learn draws from it where pyDMS passes no random state)
    sharpener = DecisionTreeSharpener(
        highResFiles=[guide],
        lowResFiles=[source],
        cvHomogeneityThreshold=0,
        movingWindowSize=WINDOW_PX,
        disaggregatingTemperature=False,
        perLeafLinearRegression=True,
        linearRegressionExtrapolationRatio=0.25,
    )
    sharpener.trainSharpener()
    sharpened = sharpener.applySharpener(guide, source)
    _, corrected = sharpener.residualAnalysis(sharpened, source, doCorrection=True)
    gdal.Translate(out, corrected, format="GTiff")


def main() -> None:
    """Sharpen one pair, or print the version of pyDMS."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="GeoTIFF of one band")
    parser.add_argument("guide", metavar="GUIDE", nargs="?", help="GeoTIFF of one or more bands, on a finer grid")
    parser.add_argument("out", metavar="OUT", nargs="?", help="GeoTIFF to write")
    parser.add_argument("--version", action="store_true", help="print the version of pyDMS, if it can be imported")
    options = parser.parse_args()
    if options.version:
        import pyDMS.pyDMS  # noqa: F401, PLC0415

        print(f"python-dms {version('python-dms')}")
    elif options.out is None:
        parser.error("pass SOURCE, GUIDE and OUT")
    else:
        sharpen(options.source, options.guide, options.out)


if __name__ == "__main__":
    main()
