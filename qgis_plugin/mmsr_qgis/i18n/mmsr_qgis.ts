<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" sourcelanguage="en">
<context>
    <name>mmsr_qgis</name>
    <message>
        <source>Whether the guide helped is unknown: the source is too small to tell, or nothing was fitted</source>
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
        <source>{}: one level down the error is {:.2f} of the interpolation's</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What the guide was worth, one level down</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Whether the guide helped</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>set it up under Plugins &gt; MMSR guided super-resolution, or name a Python that has it in {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Table of scores, with maps</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scale {scale}, tiles: {tiles}, {seconds:.0f} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stopped: no unfinished file is left.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo is of version {}, this plugin was made for {}: an option may differ</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{}: {} is an input too; name another file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The package index's certificate is not trusted here: set PIP_CERT, or name another index</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The package index cannot be reached: check the network and its proxy, name another index, or use a Python that has mmsr_geo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The disk is full: make room and try again</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This Python cannot make environments: install its venv (on Debian the package python3-venv)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>at least </source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Asking what is needed</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>it said nothing</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>That failed: {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} packages, {}{} to download; about {} on the disk, where {} are free.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Making a virtual environment in {} with {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The package index has no {} for this Python and system: name another version, index or wheel</source>
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
        <source>pip's own</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The size is shown before anything is downloaded.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Make an environment…</source>
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
        <source>Make a Python environment of the plugin's own</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What to install</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Package index</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Where</source>
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
        <source>Testing it</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Download and install ({})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo {} is ready, in {}.</source>
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
        <source>&lt;b&gt;{}.&lt;/b&gt; The work is done outside of QGIS, in a Python that has the mmsr_geo library.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>There is no file {}: name the program, as in /usr/bin/python3</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Parameters</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>none was found</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo, the library that does the work, is not set up yet</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is Python {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo needs Python {} or later ({}): install one, or name a Python that has mmsr_geo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The Python in the options of Processing</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is QGIS itself, not a Python: name a python.exe</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is Python {}, and mmsr_geo needs {} or later</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} (Python {}) has no mmsr_geo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr_geo {} of {} cannot be loaded: {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} did not answer within {} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} does not answer as a Python does</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} names {}, and there is no such file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is no file of its own: its values are written to one first</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is being edited: it is taken as it is now</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} is the picture of a map service, without values: export it as a GeoTIFF first</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} cannot be written: is the disk full?</source>
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
        <source>{}: {} cannot be opened as a raster; choose a raster layer or file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{}: what is given has no extent in the source's CRS; choose another part</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{} and {} are two answers to one question: leave one empty</source>
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
        <source>Against the truth</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>One level down, where the source itself is the truth</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>method</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>of bicubic</source>
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
        <source>mmsr-geo ended with status {}: {}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr-geo was killed by signal {}, perhaps for want of memory: give a smaller tile size</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Python that has mmsr_geo (the plugin's environment, if empty)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What to install: a name and version, or a wheel</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Package index to install from (pip's own, if empty)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>nothing to be said</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Source: the coarse raster</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Guide: a finer raster of the same place</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>More guides</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Scale: target pixels per source pixel (chosen from the two, if empty)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Only this part</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What the source resolves, if delivered finer: metres or a sensor</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Whose pixels the target lies on</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands of the guide (all, if none)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands of more guides, as in b.tif:4,3; c.tif:1</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands to derive of the guide's, as in ndvi:nir=4,red=3; slope:dem=1</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Mask of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bits that count in the mask of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Mask of clouds in the guide</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bits that count in the mask of clouds</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Share of a pixel that makes it a hole, if masked</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Value that is a hole in the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Value that is a hole in the guides</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Least and largest value that the target can have</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Share of the source that the guide must cover</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Quality: more work for less error</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Steps of the fit (as measured, if not set)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Threads on a CPU (the cores there are, if not set)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Device: auto, cpu, cuda or cuda:N</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Seed of every random choice</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Method</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How to fit</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Where the guide turns out not to help</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use a saved net</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use the saved net's statistics, not this pair's</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A tile's side in target pixels (chosen from the free memory, if not set)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bring the target onto the grid of this raster</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>... or onto pixels of this size, in the source's units</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write the uncertainty, half of a 90 % interval's width, in a further band</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Data type of the target</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stored values times this ...</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>... plus this are the target's</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Creation options of the COG, as in COMPRESS=ZSTD; LEVEL=9</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Processes that share the tiles (one, if not set)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Memory of each process, as in 4GB</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Target</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The Cloud Optimized GeoTIFF to write.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Flags of each target pixel (QA)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Save the net</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Band of the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Truth to compare with (one level down with the source itself, if none)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Methods (all quick ones and mmsr, if none)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show targets lit (where it is an elevation, if not set)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What mmsr does where the guide turns out not to help</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Report</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Net</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>MMSR nets (*.mmsr)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Upsample raster</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>sharpen,super-resolution,downscale,pansharpen,resample,resolution,thermal,DEM,guide,MMSR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>compare,methods,error,RMSE,accuracy,Wald,super-resolution,MMSR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Fit (save a net)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>train,net,model,super-resolution,MMSR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write SOURCE at the detail of GUIDE.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Target pixels per source pixel; chosen from the two grids if left out.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Only this part, in the source's CRS.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Share of the source that the guide must cover.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What SOURCE resolves where it is delivered finer: metres, or landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs, viirs-i5, sentinel-3-slstr, aster-tir. Its pixels are averaged first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Whose pixels the target lies on; guide warps SOURCE first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands to take, numbers or descriptions, as in a.tif:4,3; all if left out.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bands computed of the guide's, as in ndvi:nir=4,red=3 or slope:dem=1: ndvi, gndvi, ndre, ndwi, mndwi, ndmi, ndbi, nbr, ndsi, slope, aspect.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A mask of SOURCE: not zero, or a bit set, is a hole.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A mask of clouds in the guide; QA_PIXEL and SCL are known by name.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A pixel is a hole where more than this share of it is masked.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The stored value that is a hole in SOURCE.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The stored value that is a hole in every GUIDE.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The least and the largest value that a target can have, as SOURCE stores them: 0,60.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The Cloud Optimized GeoTIFF or the Zarr store to write; s3://... too.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write each pixel's flags there: 1 hole in the source, 2 guide missing, 4 guide outside what was fitted on, 8 guide unhelpful here, 16 source outside --valid-range, 32 tile failed and skipped. A Zarr store has them too.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write half of a 90 % interval's width of each pixel too, in a further band; of mmsr with one net.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Bring the target onto the grid of this raster, or onto pixels of R units of SOURCE's CRS, in the end.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What is stored; integers are rounded.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>... plus this are the target's, in SOURCE's physical units.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A creation option of GDAL's COG driver, as in COMPRESS=ZSTD.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>mmsr, nearest, bilinear, bicubic, guided-filter or p2p; +consistency after another's name makes its result average to the source, as mmsr's does.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>One net for all tiles; that net adapted to each tile; a net for each tile; the original's whole-raster fit.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What to do where the guide turns out not to help: give the interpolation, warn only, or stop.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use a saved net instead of a scene fit.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use the saved net's statistics, not this pair's.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A tile's side in target pixels; chosen from the free memory if left out.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Save the net that was fitted.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How much work for how little error; docs/fidelity.md has the figures.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Steps of the fit; as many as the method was measured with, if left out.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Torch threads on a CPU; the cores there are, 8 at most, if left out.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>auto, cpu, cuda or cuda:N.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Of every random choice.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Share the tiles among so many processes of this machine.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Of each process, as in 4GB; tiles are made to fit.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Replace an output that exists.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A live display, JSON lines on stdout, or nothing.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Compare methods on SOURCE and GUIDE, with a truth or one level down.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The band of SOURCE, from 1, if it has several.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Compare with this; without it, one level down with SOURCE itself.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Which, with commas: nearest, bilinear, bicubic, guided-filter, p2p (each also +consistency), mmsr, mmsr-adapt, mmsr-tile, mmsr-always (whatever the guide is worth), published. All quick ones and mmsr if left out.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write report.json and report.png there.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show targets lit; where it is an elevation, if left out.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What mmsr does where the guide turns out not to help, as in upsample.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Fit a net to SOURCE and GUIDE and save it, to be used with upsample --net.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The file to save the net in.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>reading samples</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>registering the guide</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>solving the regression</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>fitting one level down</source>
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
        <source>looking at the tiles that are there</source>
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
        <source>bringing it onto the other grid</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>writing the COG</source>
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
        <source>&lt;p&gt;Compares methods on your own rasters: interpolations, the guided filter, PixTransform (p2p), MMSR as published and the one used here. With a &lt;b&gt;truth&lt;/b&gt; (a raster of the source's quantity at the guide's resolution) they are scored against it. Without one, source and guide are degraded once more by the scale, and the source itself is the truth.&lt;/p&gt; &lt;p&gt;The scores stand in the log, and with maps of the results and their errors in the results viewer and in the report's folder (report.html, report.json, report.png). RMSE, MAE and bias are in the source's units; &lt;i&gt;of bicubic&lt;/i&gt; is the RMSE divided by that of the bicubic interpolation: below 1 is better.&lt;/p&gt; &lt;p&gt;p2p and published take many minutes, so they are compared only where they are ticked.&lt;/p&gt;</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&lt;p&gt;Fits a net to a source and a guide and saves it. &lt;b&gt;Upsample raster&lt;/b&gt; takes it under Advanced (&lt;i&gt;Use a saved net&lt;/i&gt;) for other dates or a larger area, and then needs no fit of its own.&lt;/p&gt; &lt;p&gt;The file holds the net's weights, its statistics and how it came to be. Opening one runs no code.&lt;/p&gt;</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&lt;p&gt;Makes a coarse raster (the &lt;b&gt;source&lt;/b&gt;: a thermal band, a DEM, canopy height) sharp by a finer image of the same place (the &lt;b&gt;guide&lt;/b&gt;). The two may have other CRSs, resolutions and extents. No training data is needed: a small network is fitted to this very pair (MMSR, Dong et al., ECCV 2022).&lt;/p&gt; &lt;p&gt;The result (the &lt;b&gt;target&lt;/b&gt;) lies on the source's grid, refined by the scale. Averaged back to the source's pixels it is the source; its holes stay holes. Where the guide is missing, or turns out not to help, the result is an interpolation, and the log says so. The flags (QA) tell it pixel by pixel.&lt;/p&gt; &lt;p&gt;A fit takes one or two minutes on two cores; then come the tiles, some seconds a million target pixels. You can cancel at any time: nothing unfinished is left.&lt;/p&gt; &lt;p&gt;Start with the two layers and leave all else as it is. If the guide is shifted against the source, register them first. Clouds in the guide are seen where a mask is given.&lt;/p&gt;</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>hole in the source</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>guide missing, interpolated instead</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>guide outside the range that the net was fitted on</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>guide did not help in this part</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>source outside the valid range</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>tile failed and skipped</source>
        <translation type="unfinished"></translation>
    </message>
</context>
</TS>
