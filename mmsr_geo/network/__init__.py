"""The network and its fit: torch in, torch out; knows no raster, file, CRS or dask."""

from mmsr_geo.network.attention import neighbourhood_attention
from mmsr_geo.network.mmsr import MmsrNetwork, NetworkParams

__all__ = ["MmsrNetwork", "NetworkParams", "neighbourhood_attention"]
