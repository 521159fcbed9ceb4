"""What many narrow bands tell of each pixel: components, materials, targets, oddities.

Statistics are gathered by going through a cube window by window; then its pixels run through
:func:`~torchgeo_ext.inference.predict.predict_raster` like those of any other model.
"""
