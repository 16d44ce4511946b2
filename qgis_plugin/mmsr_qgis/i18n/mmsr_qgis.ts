<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" sourcelanguage="en">
<context>
    <name>mmsr_qgis</name>
    <message>
        <source>Guide check: unknown. The source is too small for it, or no model was fitted.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The guide helped</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The guide did not help</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{}: the error is expected to be {:.2f} times that of the bicubic baseline.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Parameters</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Guide gain (1 - RMSE / bicubic baseline's RMSE)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Guide check (helped, did not help or unknown)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>set it up under Plugins &gt; MMSR guided super-resolution, or set {} to a Python that has it</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scores and maps</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scale: {scale}; tiles: {tiles}; time: {seconds:.0f} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stopped. No unfinished file is left.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo has version {}, and this plugin was made for {}: some options may differ</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{}: {} is an input of this run; choose another file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The certificate of the package index is not trusted: set PIP_CERT, or enter another index</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The package index cannot be reached: check the network and proxy, enter another index, or use a Python that has mmsr_geo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The disk is full: free some space and try again</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This Python cannot create environments: install its venv module (the package python3-venv on Debian)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>at least </source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Looking up the packages to install</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>it printed nothing</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The environment could not be created: {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} packages, {}{} to download. They need about {} on the disk, and {} are free.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Creating a virtual environment in {} with {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The package index has no {} for this Python and system: enter another version, another index or a wheel</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} cannot be started ({})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>MMSR: set up the library</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>pip's default</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The size is shown before the download starts.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Create an environment…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stop</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Test and use</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Create a Python environment for the plugin</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Package</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Package index</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Folder</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Or use a Python that has mmsr_geo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stopped.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Testing the environment</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Download and install ({})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo {} is ready in {}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Testing {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} cannot be written ({})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&lt;b&gt;{}.&lt;/b&gt; The plugin runs the mmsr_geo library in a Python outside QGIS.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There is no file {}: choose a Python, such as /usr/bin/python3</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>no Python was found</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The mmsr_geo library is not set up yet</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is Python {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo needs Python {} or later ({}): install one, or choose a Python that has mmsr_geo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The Python in the options of Processing</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is QGIS itself and not a Python: choose a python.exe</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is Python {}, and mmsr_geo needs {} or later</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} (Python {}) does not have mmsr_geo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo {} in {} cannot be loaded: {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} did not answer within {} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} does not answer like a Python</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is set to {}, and this file does not exist</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is not a file: its values are written to a temporary file first</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is in edit mode: its values with the unsaved edits are used</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is a picture from a map service, without values: export it as a GeoTIFF first</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} cannot be written: check the free space on the disk</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} cannot be opened: check the file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} cannot be read: export it as a GeoTIFF first</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>assign its CRS under Layer properties &gt; Source &gt; Assigned Coordinate Reference System</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>georeference it with Layer &gt; Georeferencer</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr-geo was ended by signal {}, possibly because memory ran out: set a smaller {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr-geo ended with status {}: {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>“{}: {}”</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>no</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>“{}”</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Separate several entries with semicolons.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>“{}” and “{}” exclude each other: leave one of them empty</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Set up the library…</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>MMSR guided super-resolution</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>RMSE divided by that of bicubic interpolation; below 1 is better</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scores against the truth</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scores at reduced resolution (Wald's protocol), with the source as the reference</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>/ bicubic</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>method</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>seconds</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Evaluate upsampling</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Python with mmsr_geo (if empty: the plugin's environment)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Package to install (name and version, or a wheel)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Package index (if empty: pip's default)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>no flag</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{}: {} cannot be opened as a raster; choose a raster layer or file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{}: the value has no extent in the source's CRS; choose another extent</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Source (coarse raster)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Raster to sharpen, for example a thermal band, an elevation model or canopy height.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Guide (finer raster of the same place)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Raster with smaller pixels, for example an optical image. It may have another CRS, resolution and extent.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scale (target pixels per source pixel)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>An integer such as 4, or 2x3 for 2 down and 3 across. If empty, it is the integer nearest to the ratio of the two resolutions, or the scale of the saved model.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Extent</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Area to compute, in any CRS; it is extended to whole source pixels. If empty, the whole source is computed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Native resolution of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Pixel size at which the source was measured, if the provider resampled it to smaller pixels. It is a number of metres or a sensor: landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, viirs, sentinel-3-slstr or aster-tir.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Grid alignment</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Guide bands</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands to use. If none is ticked, all are used.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Guide bands with classes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands that hold classes, such as land cover: numbers or names, and with additional guides b.tif:1; c.tif:2. Bands with a colour table, category names or flag meanings are found without it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Derived guide bands</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Source mask</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Guide mask</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Maximum masked share (0 to 1)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No data values of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stored values and ranges that mean no data, such as -9999,&gt;100, instead of what the file declares. If empty, the additional no data values of the layer's properties are used as well.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No data values of the guides</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stored values and ranges that mean no data in all guides, such as -9999,&gt;100, instead of what they declare.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Valid range</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Minimum guide coverage (0 to 1)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Quality</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Fitting work (million pixels x steps)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Fitting steps</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Begin the fit with a saved model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Point spread function of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Blur of the sensor before the mean over a source pixel: auto (estimated), none, a sensor's name such as sentinel-2-b11 or modis, or a width in source pixels such as 0.4 (or down,across). Too wide a blur does more harm than too narrow a one.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Noise of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>auto (estimated), none, or its standard deviation in the units of the source.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Registration of the guide</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>subpixel, whole (by whole pixels), none, or the target pixels by which the guide is moved right and down, such as 0.5,-1.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>CPU threads</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Device</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Random seed</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Method</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Source band</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Band to compute alone. If none is chosen, all bands are computed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Fitting strategy</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>If the guide does not help</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use a saved model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Keep the statistics of the saved model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Tile size</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Output grid (raster to match)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Raster to whose grid the target is warped in the end. The target then no longer averages to the source exactly.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add uncertainty bands</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Output data type</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Output scale factor</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Output offset</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Creation options</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Worker processes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Memory per process</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Target</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cloud Optimized GeoTIFF to write.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>QA flags</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Raster that marks pixels with no data, with a gap in the guide, or where the guide did not help. The legend of the layer names each flag.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Save the model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Truth (reference raster)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Raster of the source's quantity at the resolution of the target. If empty, source and guide are averaged by the scale, and the source itself is the reference (Wald's protocol).</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Methods to compare</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>If none is ticked: nearest, bilinear, bicubic, bicubic+consistency, guided-filter and mmsr. p2p and published take many minutes.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Hillshade in the maps</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Report</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Folder for report.html, report.json and report.png.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>File to write, for “Use a saved model” in “Upsample raster”.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Additional guides</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Rasters whose bands are used together with those of the guide, each on its own grid.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands of additional guides</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>File name and band numbers or names, such as b.tif:4,3; c.tif:1. All bands of other files are used.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bits or threshold of the source mask</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bits or threshold of the guide mask</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Output resolution</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Pixel size to which the target is warped in the end, in units of the source's CRS: 25, or 25x20 for 25 down and 20 across.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>MMSR models (*.mmsr)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bits that mark a pixel, counted from 0, such as 3,4, or a threshold such as &gt;66 or &lt;=2 for its values. If empty, every value except 0 marks it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Upsample raster</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Sharpen a coarse raster with a finer raster of the same place.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>sharpen,super-resolution,downscale,pansharpen,resample,resolution,thermal,DEM,guide,MMSR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Compare upsampling methods on two rasters, with a truth or at reduced resolution.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>compare,methods,error,RMSE,accuracy,Wald,super-resolution,MMSR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Fit and save a model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Fit a model to two rasters and save it for other dates or a larger area.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>train,model,neural network,super-resolution,MMSR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Band of the source to use alone, counted from 1. Default: all bands; a fit or an evaluation takes one band, and needs this if the source has several.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Smallest part of the source's valid pixels, from 0 to 1, that the guide must cover. Lower it to accept a guide that covers less: the target is interpolated from the source alone where there is no guide.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Grid that the target is aligned with. With guide, the source is first warped to the grid of the guide, coarsened by the scale.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands to compute from the guide and to use as well: an index or terrain band such as ndvi:nir=4,red=3 or slope:dem=1, or NAME=EXPRESSION such as evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1).</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Mask of the source: pixels with a value other than 0, with one of the given bits, or beyond the given threshold are treated as nodata. Landsat QA_PIXEL and Sentinel-2 SCL files are recognised by name.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Mask of the guide, as for the source, for example of clouds. Where it masks the guide, the target is interpolated from the source alone.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Part of a pixel's area, from 0 to 1, above which a masked pixel is treated as nodata. It matters where a mask has smaller pixels than the raster.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Smallest and largest value that the target can have, in stored units of the source. Values beyond are set to the limit.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Also compute half the width of a 90 % interval for each target pixel, in the units of the source. It needs mmsr with one model for the scene.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Data type of the output. Integers are rounded.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scale factor of the stored values: value = stored x scale factor + offset. Default: that of the source.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Offset of the stored values: value = stored x scale factor + offset. Default: that of the source.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Creation options of GDAL's COG driver, such as COMPRESS=ZSTD.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Method: mmsr, nearest, bilinear, bicubic, guided-filter or p2p. Add +consistency to any but mmsr to correct the target so that its block means are the source, as those of mmsr are.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How mmsr is fitted: scene (one model for all tiles), adapt (that model takes more steps on each tile), tile (a model for each tile) or published (the fit of the paper, on the whole raster).</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Saved model to use instead of fitting one. It must have the same scale and the same guide bands.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use the statistics of the saved model instead of those of this pair. Default: they are computed anew, as another date needs.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What to do if the guide check says that the guide did not help: interpolate (the source alone), warn (use the model and warn) or error.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Side of a tile in target pixels. Default: chosen to fit in memory; the result does not depend on it, unless each tile has a model of its own.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>File to save the fitted model to.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Quality of the fit: draft fits no network and takes seconds, each of the others takes more steps than the one before. The fidelity page of the documentation has the figures.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Work that the fit of a network may take, in million target pixels times steps. Default: that of the quality, which is 0 for draft, 1.2 for fast, 7.4 for balanced and 37 for best.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Number of steps of the fit, instead of its work. Default: the number that belongs to the quality.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Saved model of another date, whose network the fit begins with. It must have the same guide bands.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Number of torch threads on a CPU. Default: the number of cores, at most 8; another number changes the last digits of the result.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Device for the computation: auto (a GPU if there is one), cpu, cuda or cuda:N.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Seed of all random numbers. Equal seeds give equal results on the same kind of device.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Number of processes of this machine that share the tiles. Default: this process alone.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Memory limit of each process, such as 4GB. Tiles are chosen to fit.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show targets as hillshades. Default: if the name of the source says that it is an elevation.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>reading samples</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>aligning the guide</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>comparing members</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>trying a network</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>fitting at reduced resolution</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>fitting</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>fitting tiles</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>checking the tiles of an earlier run</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>predicting tiles</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>blending tiles</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>warping to the other grid</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>writing the output</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>pairs</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>drawing the report</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&lt;p&gt;Compares upsampling methods on your rasters: interpolation, the guided filter, PixTransform (p2p), MMSR as published, and MMSR as this plugin uses it. If you have a &lt;b&gt;truth&lt;/b&gt; (a raster of the source's quantity at the resolution of the guide), the methods are compared with it. Without a truth they are compared at reduced resolution (Wald's protocol): source and guide are averaged by the scale, so that the source itself is the reference.&lt;/p&gt; &lt;p&gt;The log shows the scores. The results viewer has a page with the scores and maps of the results and their errors. Its files are in the folder of the report: report.html, report.json and report.png.&lt;/p&gt; &lt;p&gt;RMSE, MAE and bias are in the units of the source. &lt;i&gt;/ bicubic&lt;/i&gt; is the RMSE divided by that of bicubic interpolation: below 1 is better. The page explains the other columns.&lt;/p&gt; &lt;p&gt;p2p and published take many minutes, so they run only if you tick them.&lt;/p&gt;</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&lt;p&gt;Fits a model to a source and a guide and saves it. &lt;b&gt;Upsample raster&lt;/b&gt; reads it under Advanced (&lt;i&gt;Use a saved model&lt;/i&gt;) for other dates or a larger area, and then fits no model.&lt;/p&gt; &lt;p&gt;The file contains the network's weights, its statistics and how it was fitted. Reading the file runs no code.&lt;/p&gt;</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&lt;p&gt;Sharpens a coarse raster with a finer raster of the same place. The coarse raster is the &lt;b&gt;source&lt;/b&gt;: a thermal band, an elevation model, canopy height. The finer raster is the &lt;b&gt;guide&lt;/b&gt;: usually an optical image. The two may have different CRSs, resolutions and extents. No training data is needed: the algorithm fits a small neural network to the two rasters (MMSR, Dong et al., ECCV 2022).&lt;/p&gt; &lt;p&gt;The result is the &lt;b&gt;target&lt;/b&gt;. Its grid is that of the source, divided by the scale. With the method mmsr, and with each method whose name ends in +consistency, the average of the target over a source pixel equals the value of the source there. Pixels with no data in the source have no data in the target. Where the guide has a gap or does not help, the target is predicted from the source alone, and the log reports it. The QA flags mark these pixels.&lt;/p&gt; &lt;p&gt;Fitting takes one or two minutes on two cores. The prediction then takes some seconds per million target pixels. You can cancel at any time: no unfinished file is left.&lt;/p&gt; &lt;p&gt;Select the two layers and keep all other values for a first run. To try one part of the raster, set &lt;i&gt;Extent&lt;/i&gt;. If the guide is shifted against the source, register it first. If there are clouds in the guide, set &lt;i&gt;Guide mask&lt;/i&gt;.&lt;/p&gt;</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>no data in the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>gap in the guide</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>guide outside the fitted range</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>guide did not help</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>source outside the valid range</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>tile failed</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>RMSE</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>root mean square error, in the units of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>MAE</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mean absolute error, in the units of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>bias</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mean error, in the units of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PSNR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>peak signal-to-noise ratio in dB; larger is better</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>SSIM</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>structural similarity; 1 is best</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>detail</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>correlation with the reference of what the source cannot resolve; 1 is best, and interpolation has about 0</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>seams</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>steps at tile borders divided by steps elsewhere; 1 means no seams</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>blocks</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>steps at the edges of source pixels divided by steps elsewhere; 1 means no blocks</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>imprint</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>texture of the guide where the source is flat; 0 means none</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>consistency</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>largest difference between the averaged target and the source, divided by the source's standard deviation; 0 is best</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>coverage</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>share of reference values within the target plus or minus its uncertainty; 0.9 is nominal</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>half width</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mean uncertainty, in the units of the source; smaller is better at equal coverage</source>
        <translation type="unfinished"></translation>
    </message>
</context>
</TS>
