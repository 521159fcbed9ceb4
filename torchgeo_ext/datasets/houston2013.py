"""Houston 2013: a university campus and its surroundings, of the contest of that year."""

from torchgeo_ext.datasets._cube_scene import CubeScene


class Houston2013(CubeScene):
    """The hyperspectral image of the Data Fusion Contest of 2013, from files of one's own.

    * one image of 349 x 1,905 pixels, 2.5 m, CASI, 2012, Houston
    * 144 bands from 0.38 to 1.05 µm
    * 15 classes; the labels of training and of testing are published as lists of regions
      (``2013_IEEE_GRSS_DF_Contest_Samples_TR`` and ``_VA``, ``.txt`` and ``.roi``), which have to
      be burned into rasters of class values first, in the order of ``classes``

    Files: ``2013_IEEE_GRSS_DF_Contest_CASI.tif``, and one of these sets as a raster or ``.mat``.

    Licence: that of the contest.

    Debes, C. et al. (2014). Hyperspectral and LiDAR data fusion: outcome of the 2013 GRSS data
    fusion contest. IEEE Journal of Selected Topics in Applied Earth Observations and Remote
    Sensing 7(6), 2405-2418. https://doi.org/10.1109/JSTARS.2014.2305441
    """

    bands = (144,)
    size = (349, 1905)
    classes = (
        'healthy grass', 'stressed grass', 'synthetic grass', 'trees', 'soil', 'water',
        'residential', 'commercial', 'road', 'highway', 'railway', 'parking lot 1',
        'parking lot 2', 'tennis court', 'running track',
    )  # fmt: skip
    page = 'https://hyperspectral.ee.uh.edu/?page_id=459'
